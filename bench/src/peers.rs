//! Peers: other queues that an app could embed, on the same work.
//!
//! Owns:  effectum, its runtime and its worker.
//! Never: is built without the feature `peers`.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::{Context, Result};
use effectum::{Job, JobRunner, Queue, RunningJob, Worker};
use tokio::runtime::Runtime;
use tokio::sync::Notify;

/// The kind of all jobs.
const KIND: &str = "message";

/// Jobs that are done, as the one who waits for them sees it.
#[derive(Debug, Default)]
struct Done {
    count: AtomicU64,
    news: Notify,
}

/// effectum with one worker, whose jobs complete at once.
pub(crate) struct Effectum {
    runtime: Runtime,
    /// Always there until the value goes.
    parts: Option<(Queue, Worker)>,
    done: Arc<Done>,
    group: u64,
}

impl Effectum {
    /// Opens a queue whose worker runs a whole group at once.
    pub(crate) fn open(path: &Path, group: u64) -> Result<Self> {
        let runtime = crate::runtime()?;
        let done = Arc::new(Done::default());
        let concurrency = u16::try_from(group).unwrap_or(u16::MAX);
        let context = Arc::clone(&done);
        let parts = runtime.block_on(async move {
            let queue = Queue::new(path).await?;
            let runner = JobRunner::builder(KIND, complete).build();
            let worker = Worker::builder(&queue, context).max_concurrency(concurrency).jobs([runner]).build();
            let worker = worker.await?;
            Ok::<_, effectum::Error>((queue, worker))
        })?;
        Ok(Self { runtime, parts: Some(parts), done, group })
    }

    /// One group from being added to being done.
    pub(crate) fn live(&self, payload: &[u8]) -> Result<u64> {
        let wanted = self.done.count.load(Ordering::Acquire) + self.group;
        let (queue, _) = self.parts.as_ref().context("the queue is closed")?;
        self.runtime.block_on(async {
            let jobs = (0..self.group).map(|_| Job::builder(KIND).payload(payload.to_vec()).build());
            queue.add_jobs(jobs.collect()).await.context("adding jobs to effectum")?;
            loop {
                let news = self.done.news.notified();
                if self.done.count.load(Ordering::Acquire) >= wanted {
                    return Ok(self.group);
                }
                news.await;
            }
        })
    }
}

impl Drop for Effectum {
    fn drop(&mut self) {
        // Both start tasks when they go.
        let _inside = self.runtime.enter();
        self.parts = None;
    }
}

async fn complete(job: RunningJob, done: Arc<Done>) -> Result<(), effectum::Error> {
    // It counts once its end is committed.
    job.complete(()).await?;
    done.count.fetch_add(1, Ordering::AcqRel);
    done.news.notify_one();
    Ok(())
}
