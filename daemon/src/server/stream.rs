//! A connection's bytes, watched: what was written in full, what nobody reads, what the HTTP layer says by itself.
//!
//! Owns:  telling the peer of every flush, giving up a client that reads nothing, keeping back the HTTP layer's own
//!        errors.
//! Never: reads a request, writes an answer of its own.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::UnixStream;
use tokio::time::{Instant, Sleep, sleep};

use super::peer::Peer;

/// How long an answer may lie there while its client neither reads on nor sends anything: one that is alive reads
/// within milliseconds, and one that sends everything first does not pause for long, for the slowest disk lets it wait
/// for seconds. To read on is to read most of what the kernel holds for it, some 200 KiB, for only then is there room to
/// write. A stream of events is no such answer: what nobody reads of it is kept nowhere.
const UNREAD_MAX: Duration = Duration::from_secs(60);

/// Bytes of a status line up to the end of its number: `HTTP/1.1 400`.
const STATUS_BYTES: usize = 12;

/// A stream to one client.
pub(super) struct Watched {
    stream: UnixStream,
    peer: Peer,
    /// How an answer begins that no call made: the HTTP layer's own to a head that it cannot read. It has no
    /// body, so it is kept back, and a problem goes out in its place.
    kept_back: Vec<u8>,
    /// When the client is given up; there is one while it takes nothing.
    unread: Option<Pin<Box<Sleep>>>,
}

impl Watched {
    pub(super) const fn new(stream: UnixStream, peer: Peer) -> Self {
        Self { stream, peer, kept_back: Vec::new(), unread: None }
    }

    /// What a write came to. One that cannot go on fails once its client is given up.
    fn written(&mut self, written: Poll<io::Result<usize>>, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        if written.is_ready() || self.peer.has_stream() {
            self.unread = None;
            return written;
        }
        let unread = self.unread.get_or_insert_with(|| Box::pin(sleep(UNREAD_MAX)));
        ready!(unread.as_mut().poll(cx));
        let words = format!("the client has read nothing for {} s", UNREAD_MAX.as_secs());
        Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, words)))
    }

    /// The bare stream, and the status of the answer that was kept back.
    pub(super) fn into_parts(self) -> (UnixStream, Option<u16>) {
        let number = self.kept_back.get(STATUS_BYTES - 3..STATUS_BYTES);
        let status = number.and_then(|number| std::str::from_utf8(number).ok()?.parse().ok());
        (self.stream, status)
    }

    /// Keeps bytes back if no call made them; answers how many.
    fn keep_back(&mut self, pieces: &[IoSlice<'_>]) -> Option<usize> {
        if self.peer.is_being_answered() {
            return None;
        }
        let all = pieces.iter().flat_map(|piece| piece.iter().copied());
        let missing = STATUS_BYTES.saturating_sub(self.kept_back.len());
        self.kept_back.extend(all.take(missing));
        Some(pieces.iter().map(|piece| piece.len()).sum())
    }
}

impl AsyncRead for Watched {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let read = Pin::new(&mut self.stream).poll_read(cx, buffer);
        if buffer.filled().len() > before
            && let Some(unread) = &mut self.unread
        {
            // It still sends, and may read afterwards. Whoever waits to write is woken by this one alone.
            unread.as_mut().reset(Instant::now() + UNREAD_MAX);
        }
        read
    }
}

impl AsyncWrite for Watched {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        if let Some(kept) = self.keep_back(&[IoSlice::new(bytes)]) {
            return Poll::Ready(Ok(kept));
        }
        let written = Pin::new(&mut self.stream).poll_write(cx, bytes);
        self.written(written, cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        pieces: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        if let Some(kept) = self.keep_back(pieces) {
            return Poll::Ready(Ok(kept));
        }
        let written = Pin::new(&mut self.stream).poll_write_vectored(cx, pieces);
        self.written(written, cx)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    /// The HTTP layer flushes only once it has written all that it had.
    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(Pin::new(&mut self.stream).poll_flush(cx))?;
        self.peer.flushed();
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if !self.kept_back.is_empty() {
            // The problem is still to be written.
            return Poll::Ready(Ok(()));
        }
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::time::timeout;

    use super::*;

    /// Longer than any time-out here, on a clock that jumps.
    const LONG: std::time::Duration = std::time::Duration::from_secs(3600);

    /// A stream on which a call is answering, and the client's end of it.
    fn answering() -> (Watched, Peer, UnixStream) {
        let (ours, theirs) = UnixStream::pair().unwrap();
        let peer = Peer::without_line(None);
        peer.begin_answer();
        (Watched::new(ours, peer.clone()), peer, theirs)
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_takes_nothing_of_its_answer_loses_its_connection() {
        let (mut watched, _peer, _client) = answering();
        let began = Instant::now();
        let written = timeout(LONG, watched.write_all(&vec![b'x'; 10_000_000])).await;
        assert_eq!(written.expect("in time").unwrap_err().kind(), io::ErrorKind::TimedOut);
        assert_eq!(began.elapsed(), UNREAD_MAX);
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_reads_on_now_and_then_keeps_its_connection() {
        let (mut watched, _peer, mut client) = answering();
        let read = async {
            loop {
                tokio::time::sleep(UNREAD_MAX / 2).await;
                // As much as there is, then a rest.
                let mut piece = vec![0; 1_000_000];
                if client.read(&mut piece).await.unwrap() == 0 {
                    return;
                }
                while client.try_read(&mut piece).is_ok_and(|count| count > 0) {}
            }
        };
        let write = async {
            watched.write_all(&vec![b'x'; 3_000_000]).await.unwrap();
            watched.shutdown().await.unwrap();
        };
        tokio::join!(read, write);
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_still_sends_need_not_read_yet() {
        let (watched, _peer, mut client) = answering();
        let (mut reader, mut writer) = tokio::io::split(watched);
        let send = async {
            for _ in 0..10 {
                tokio::time::sleep(UNREAD_MAX / 2).await;
                client.write_all(b"more").await.unwrap();
            }
            // From here on it is as any other.
        };
        let hear = async {
            let mut piece = [0; 16];
            while reader.read(&mut piece).await.unwrap() > 0 {}
        };
        let write = async { writer.write_all(&vec![b'x'; 10_000_000]).await.unwrap_err().kind() };
        let began = Instant::now();
        let talk = timeout(LONG, async { tokio::join!(send, write) });
        tokio::select! {
            talked = talk => assert_eq!(talked.expect("in time").1, io::ErrorKind::TimedOut),
            () = hear => panic!("the client has not closed"),
        }
        assert_eq!(began.elapsed(), UNREAD_MAX * 6);
    }

    #[tokio::test(start_paused = true)]
    async fn a_stream_of_events_may_rest() {
        let (mut watched, peer, _client) = answering();
        peer.note_stream();
        assert!(timeout(LONG, watched.write_all(&vec![b'x'; 10_000_000])).await.is_err(), "it waits on");
    }
}
