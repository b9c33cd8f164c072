//! Limits of the client, each with its reason.
//!
//! Owns:  sizes and waits that bound what one call may cost its caller.
//! Never: the daemon's own limits, which stand in its configuration.

use std::time::Duration;

/// Opening a local socket takes microseconds; longer means that the daemon no longer accepts.
pub const CONNECT_WAIT: Duration = Duration::from_secs(5);

/// A call answers after one synced write at most; slow disks take seconds, not half a minute.
pub const ANSWER_WAIT: Duration = Duration::from_secs(30);

/// What a call that waits by itself (resend, leases) gets on top of its own wait: the answer must still be
/// written, sent and read.
pub const WAIT_MARGIN: Duration = Duration::from_secs(10);

/// A batch over millions of messages, or a rewrite of their store, takes minutes and answers at its end.
pub const BATCH_WAIT: Duration = Duration::from_secs(3600);

/// A stream of lines makes progress at each commit; none within this time means that it has ended.
pub const LINE_WAIT: Duration = Duration::from_secs(60);

/// A stream of events has a heartbeat every 15 s; three of them missing means that the daemon is gone, or stuck.
pub const EVENT_WAIT: Duration = Duration::from_secs(50);

/// Bytes of an answer. A page of 1000 entries with full histories is near 15 MiB, and one receipt carries
/// at most 4 MiB of data.
pub const ANSWER_BYTES_MAX: usize = 64 << 20;

/// Bytes of an answer with leases: 256 leases of 1 MiB messages, and what surrounds them. A larger limit
/// than that of other answers, because a lease that its app cannot read would have to lapse.
pub const LEASES_BYTES_MAX: usize = 320 << 20;

/// Bytes of one line of a streamed answer, and of one event. It holds an id, a lane and at most one error text.
pub const ANSWER_LINE_BYTES_MAX: usize = 64 << 10;

/// Lines of one request of many messages. The daemon takes 100,000; smaller requests lose less when one
/// breaks off.
pub const REQUEST_LINES_MAX: usize = 10_000;

/// Bytes of one request of many messages, a single longer line excepted. The daemon takes 64 MiB; this is
/// what the client keeps in memory.
pub const REQUEST_BYTES_MAX: usize = 8 << 20;

/// Bytes of a foreign answer that an error repeats: enough to recognise a proxy's page.
pub const EXCERPT_BYTES_MAX: usize = 200;

/// Bytes of a socket's path: the kernel's address has 108 with the ending zero.
pub const SOCKET_PATH_BYTES_MAX: usize = 107;
