//! Every fixed limit of the store in one place, each with the reason for its number.
//!
//! Owns:  constants. What a person may set stands in [`crate::Config`].
//! Never: enforces them (the verbs do).

use std::time::Duration;

/// Answers to settles that are remembered of a message, so that a repetition gets the same: as many as an app may
/// have under way by mistake.
pub const SETTLED_MAX: usize = 8;

/// Bytes kept of a service's description: a sentence and an identifier, and small enough that twenty
/// attempts of history stay far below one page of the store.
pub const DESC_BYTES_MAX: usize = 256;

/// Bytes kept of a person's reason for a hold, a cancel or a pause.
pub const REASON_BYTES_MAX: usize = 256;

/// Bytes of a msgID, id, account or conversation. Keys of the store hold 255 bytes, with a prefix.
pub const ID_BYTES_MAX: usize = 200;

/// Attempts kept in an entry's history; older ones go.
pub const HISTORY_MAX: usize = 20;

/// Largest payload or replacement kept inside the store; larger ones are files in the spool. Sixteen of
/// them share a node, which must stay far below a quarter of a segment.
pub const INLINE_BYTES_MAX: usize = 16 * 1024;

/// Bytes of one group: what is written between two syncs must stay within one segment, or a power cut can take more
/// than what was written last. The engine writes several times as much (pages that are written anew, and merged).
pub const GROUP_BYTES_MAX: usize = 512 * 1024;

/// How often the bytes of a payload that goes count in a group: its page is written anew, with its neighbours.
pub const REMOVED_SHARE: usize = 3;

/// Changes of one group: bounds the time until the first of them is answered, and the pages that are touched.
pub const GROUP_VERBS_MAX: usize = 512;

/// Reads after which it is looked whether they have written: the engine merges pages that it finds nearly empty, some
/// hundred KiB at the most each time.
pub const READS_UNLOOKED_MAX: u32 = 32;

/// How long a group waits for callers that were answered together and are about to come again: less than a sync of a
/// fast drive takes, so that waiting in vain costs less than a group of its own would.
pub const GATHER_WAIT_MAX: Duration = Duration::from_micros(100);

/// How long a group waits for the rest of a run of verbs that a caller is queueing: a caller that is put aside by the
/// system must not keep the others.
pub const RUN_WAIT_MAX: Duration = Duration::from_millis(1);

/// Verbs that wait for the writer before callers are made to wait, too.
pub const QUEUE_VERBS_MAX: usize = 4096;

/// Size of sled's segments: a group must fit into one, whatever the engine makes of it. Two or three of them are in
/// memory at any time.
pub const SEGMENT_BYTES: usize = 8 * 1024 * 1024;

/// The same where groups are committed by hand and are small: sled fills and writes a whole segment at each
/// open, which would take most of a simulation's time.
pub const SEGMENT_BYTES_BY_HAND: usize = 64 * 1024;

/// Room kept for the store by default: a thousand attempts that end at once write 16 MiB of replacements into it at the most,
/// and the engine about as much beside them.
pub const RESERVE_BYTES: u64 = 32 * 1024 * 1024;

/// The reserve is filled up once a part of it as large as this is gone: each time costs a write of the file's metadata.
pub const RESERVE_STEPS: u64 = 4;

/// Free bytes with which a store opens: it writes an index of its pages, some bytes for each of a million messages.
pub const OPEN_ROOM_BYTES: u64 = 16 * 1024 * 1024;

/// sled's page cache. Its default of 1 GiB would be the daemon's whole footprint; what it counts is about half of
/// what its pages take.
pub const CACHE_BYTES: u64 = 8 * 1024 * 1024;

/// Memory for the leaves that the writer has at hand: those of the lanes, timers and messages that some thousand
/// conversations change again and again.
pub const AT_HAND_BYTES: usize = 2 * 1024 * 1024;

/// Bytes that are copied at a time while the store is rewritten: others wait for one part, some milliseconds.
pub const COPY_PART_BYTES: usize = 256 * 1024;

/// The store is rewritten by itself from this size on: what it could give back below is not worth the wear.
pub const REWRITE_BYTES_MIN: u64 = 64 * 1024 * 1024;

/// How many times what is kept a store may take before it is rewritten by itself. One that was only ever filled takes
/// about two and a half times as much.
pub const REWRITE_SHARE: u64 = 4;

/// How long nothing must have happened before the store is rewritten by itself.
pub const REWRITE_AFTER_IDLE: Duration = Duration::from_secs(10);

/// Bytes of rows after whose writing a stop in order opens the store once more, so that the next start is spared the
/// log: it reads some GB a second.
pub const CHECKPOINT_BYTES_MIN: u64 = 16 * 1024 * 1024;

/// The largest store whose whole log is looked through for damage before it is opened, and whose rows are compared with their total
/// behind that: half a second.
pub const SCAN_BYTES_MAX: u64 = 256 * 1024 * 1024;

/// Of a larger one, only what the engine is about to read is looked through, and no more than this: two seconds, in which the
/// engine would have waited for the drive.
pub const SCAN_TAIL_BYTES_MAX: u64 = 2 * 1024 * 1024 * 1024;

/// Damaged files of payloads and replacements that are remembered, with their msgIDs: more of them are a drive that is failing, and
/// a thousand say so.
pub const DAMAGED_FILES_MAX: usize = 1_000;

/// How often all rows and files are read while the store is open: rot that is a day old is told before its copies elsewhere are gone.
pub const LOOK_EVERY: Duration = Duration::from_secs(24 * 60 * 60);

/// Bytes of rows that are read at a time: others wait for one part, some milliseconds.
pub const LOOK_PART_BYTES: usize = 512 * 1024;

/// The time after which a part ends, however little was read: a slow drive is the others' for nineteen parts of twenty.
pub const LOOK_PART_TIME: Duration = Duration::from_millis(50);

/// The time between two parts: a GiB takes half an hour (more on a slow drive), a thousandth of a core, and one wake-up a second.
pub const LOOK_PAUSE: Duration = Duration::from_secs(1);

/// Places of a segment at which the one bit is looked for that may have flipped: each costs as much as some hundred checksums, and
/// where there are more, it is no bits that have flipped.
pub const RIGHTED_MAX: usize = 32;

/// Damaged stores that are kept as they were: a drive that damages another one every week must not fill up with them.
pub const KEPT_SPOOLS_MAX: usize = 3;

/// Files of records that could not be read; beyond, they stay in the store. Whoever has so many needs another disk.
pub const QUARANTINE_FILES_MAX: usize = 10_000;

/// Of these, as many are moved in one transaction: each is a file that must be on the drive first.
pub const QUARANTINE_MOVED_MAX: usize = 32;

/// How long `open` waits for a lock that a process which has just ended may still hold.
pub const LOCK_WAIT: Duration = Duration::from_secs(2);

/// How long a flush may take before somebody looks whether it waits in vain: far longer than a healthy drive takes, far
/// shorter than a person waits.
pub const WATCH_EVERY: Duration = Duration::from_secs(1);

/// The longest time between two such looks: each costs a thread that waits with it, some ten in ten minutes.
pub const WATCH_EVERY_MAX: Duration = Duration::from_secs(60);

/// How long the store waits before it looks whether there is room again; it doubles. Looking costs a call of the system.
pub const ROOM_EVERY: Duration = Duration::from_secs(1);

/// The longest of these waits. After it the store is opened again whatever the system says of free space: a quota, for
/// one, does not show there.
pub const ROOM_EVERY_MAX: Duration = Duration::from_secs(30);

/// The longest time between two writes of the seal while there is traffic.
pub const SEAL_EVERY: Duration = Duration::from_secs(10);

/// How long nothing must have happened before the seal is written: it is what tells of the last group whether a damaged one was on
/// the drive, and costs two syncs, which a burst must not pay for each of its groups.
pub const SEAL_AFTER_IDLE: Duration = Duration::from_secs(1);

/// The highest order of acceptance, or of events, that a message of another spool keeps: what comes behind it goes on from there, and
/// JSON's readers know whole numbers up to here.
pub const RESTORED_SEQ_MAX: u64 = 1 << 53;

/// Rows that one page of a list may look at before it answers with what it found and a cursor: the writer
/// waits for a reader, so a reader must be done in milliseconds.
pub const LIST_SCAN_MAX: usize = 2_000;

/// Entries that one call of `list` may return.
pub const LIST_MAX: usize = 1000;

/// Entries that one call of `lease` may return.
pub const LEASE_MAX: usize = 256;

/// Payload bytes that one call of `lease` returns at most (the first message always fits).
pub const LEASE_BYTES_MAX: usize = 8 * 1024 * 1024;

/// Timers, promotions and wake-ups handled in one transaction, so that others get their turn.
pub const SWEEP_MAX: usize = 256;

/// Entries that one transaction of a batch changes at most: about ten milliseconds in which others wait.
pub const BATCH_MAX: usize = 128;

/// Bytes after which one transaction of a batch ends: others still fit into its group.
pub const BATCH_BYTES_MAX: usize = 256 * 1024;

/// Receipts removed beside one new receipt once a limit is reached: more than one, so that a lowered
/// limit is reached soon; few, so that no settle pays for thousands.
pub const PRUNE_MAX: usize = 4;

/// Deaths of the process during one message's attempts after which it is quarantined.
pub const DEATHS_MAX: u32 = 3;

/// How long the process must be up before it attempts a message whose attempts killed it twice: its third death
/// would be its last, and a process that is killed again and again for other reasons must not meet it each time.
pub const SUSPECT_UPTIME: Duration = Duration::from_secs(5);

/// Longest floor that a service can set for the next attempt.
pub const RETRY_AFTER_MAX: Duration = Duration::from_secs(3600);

/// First delay after a failed upload; large media are not pushed again and again.
pub const UPLOAD_INITIAL: Duration = Duration::from_secs(30);

/// Failed uploads of one message after which it fails.
pub const UPLOAD_ATTEMPTS_MAX: u32 = 10;

/// First pause of an account that the service slowed without saying for how long; it doubles.
pub const LIMITED_INITIAL: Duration = Duration::from_secs(5);

/// Longest pause of an account that the service slowed without saying for how long.
pub const LIMITED_MAX: Duration = Duration::from_secs(300);

/// First try of an account whose gate the service shut; it doubles.
pub const GATE_TRY_INITIAL: Duration = Duration::from_secs(60);

/// Longest time between two tries of an account whose gate the service shut.
pub const GATE_TRY_MAX: Duration = Duration::from_secs(900);

/// When gates are looked at again if there are more of them than one look covers: as long as the first pause of
/// a slowed account, twice over.
pub const GATES_AGAIN: Duration = Duration::from_secs(10);

/// Safety margin before the end of a service's de-duplication window (half the window if shorter).
pub const WINDOW_MARGIN: Duration = Duration::from_secs(5);

/// Shortest and longest time to live.
pub const TTL_MIN: Duration = Duration::from_secs(1);
/// Longest time to live.
pub const TTL_MAX: Duration = Duration::from_secs(365 * 24 * 3600);

/// Longest life of one lease, extensions included.
pub const LEASE_TOTAL_MAX: Duration = Duration::from_secs(3600);
