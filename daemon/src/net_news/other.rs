//! News on systems that this program cannot listen to yet.
//!
//! Owns:  saying so.
//! Never: pretends: the link is found out by probes, attempts and the app's word there.

use std::io;

use super::Source;
use crate::engine::News;

/// No news.
pub(super) struct System;

impl System {
    pub(super) fn open() -> io::Result<Self> {
        Err(io::ErrorKind::Unsupported.into())
    }
}

impl Source for System {
    async fn next(&mut self) -> io::Result<News> {
        std::future::pending().await
    }

    fn gathered(&mut self) -> io::Result<Option<News>> {
        Ok(None)
    }
}
