//! A connection's bytes, watched: what was written in full, and what the HTTP layer says by itself.
//!
//! Owns:  telling the peer of every flush, keeping back the HTTP layer's own errors.
//! Never: reads a request, writes an answer of its own.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::UnixStream;

use super::peer::Peer;

/// Bytes of a status line up to the end of its number: `HTTP/1.1 400`.
const STATUS_BYTES: usize = 12;

/// A stream to one client.
pub(super) struct Watched {
    stream: UnixStream,
    peer: Peer,
    /// How an answer begins that no call made: the HTTP layer's own to a head that it cannot read. It has no
    /// body, so it is kept back, and a problem goes out in its place.
    kept_back: Vec<u8>,
}

impl Watched {
    pub(super) const fn new(stream: UnixStream, peer: Peer) -> Self {
        Self { stream, peer, kept_back: Vec::new() }
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
        Pin::new(&mut self.stream).poll_read(cx, buffer)
    }
}

impl AsyncWrite for Watched {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        if let Some(kept) = self.keep_back(&[IoSlice::new(bytes)]) {
            return Poll::Ready(Ok(kept));
        }
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        pieces: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        if let Some(kept) = self.keep_back(pieces) {
            return Poll::Ready(Ok(kept));
        }
        Pin::new(&mut self.stream).poll_write_vectored(cx, pieces)
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
