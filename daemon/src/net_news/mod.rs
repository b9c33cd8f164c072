//! News of the operating system about the network, passed on to the engine.
//!
//! Owns:  how often news is passed on, what happens when the way to it breaks.
//! Never: polls, decides what news means for the link (the engine does), knows how a system tells it: that stands in
//!        one file for each.

#[cfg(target_os = "linux")]
mod linux;
#[cfg(target_os = "linux")]
mod message;
#[cfg(not(target_os = "linux"))]
mod other;

use std::io;
use std::time::Duration;

use tokio::time::{Instant, sleep};

#[cfg(target_os = "linux")]
use linux::System;
#[cfg(not(target_os = "linux"))]
use other::System;

use crate::engine::{Command, Handle, News};

/// What comes within this time after news was passed on is gathered into one. A cable that is plugged in tells it in
/// several pieces, and a storm of news wakes the engine ten times a second at most; a first message may leave within
/// 200 ms of the network's return, also when the last piece is the one that matters.
const GATHER: Duration = Duration::from_millis(100);

/// First and longest delay before the way to the system's news is opened again.
const REOPEN: [Duration; 2] = [Duration::from_secs(1), Duration::from_secs(300)];

/// Where news comes from.
trait Source {
    /// Waits for news.
    async fn next(&mut self) -> io::Result<News>;

    /// What has come meanwhile, all in one, without waiting.
    fn gathered(&mut self) -> io::Result<Option<News>>;
}

/// Tells the engine the system's news until the engine is gone.
pub async fn watch(engine: Handle) {
    let mut delay = REOPEN[0];
    let mut warned = false;
    loop {
        match System::open() {
            Ok(mut system) => {
                if std::mem::take(&mut warned) {
                    tracing::info!("News of the network comes again.");
                }
                let opened = Instant::now();
                let Err(error) = pass_on(&mut system, &engine).await else { return };
                tracing::debug!(%error, "The way to news of the network broke.");
                if opened.elapsed() >= REOPEN[1] {
                    delay = REOPEN[0];
                }
            }
            Err(error) if !warned => {
                warned = true;
                tracing::warn!(%error, "There is no news of the network; the link is found out by probes.");
            }
            Err(_) => {}
        }
        // Whatever happens meanwhile is not heard, nor what was lost before.
        if !engine.tell(News::Gone).await {
            return;
        }
        sleep(delay).await;
        delay = (delay * 2).min(REOPEN[1]);
    }
}

/// Passes on news: the first at once, what follows closely as one. Ends well when the engine is gone.
async fn pass_on(source: &mut impl Source, engine: &impl Engine) -> io::Result<()> {
    let mut gathered = None;
    loop {
        let news = match gathered {
            Some(news) => news,
            None => source.next().await?,
        };
        if !engine.tell(news).await {
            return Ok(());
        }
        sleep(GATHER).await;
        gathered = source.gathered()?;
    }
}

/// Who is told.
trait Engine {
    /// Tells it; `false` if it is gone.
    async fn tell(&self, news: News) -> bool;
}

impl Engine for Handle {
    async fn tell(&self, news: News) -> bool {
        self.send(Command::News(news)).await
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;
    use std::sync::Mutex;

    use super::*;

    /// Gives out prepared bursts: the first piece of each to whoever waits, the rest as gathered.
    struct Script(VecDeque<Vec<News>>);

    impl Source for Script {
        async fn next(&mut self) -> io::Result<News> {
            let burst = self.0.front_mut().ok_or(io::ErrorKind::BrokenPipe)?;
            Ok(burst.remove(0))
        }

        fn gathered(&mut self) -> io::Result<Option<News>> {
            Ok(self.0.pop_front().unwrap_or_default().into_iter().max())
        }
    }

    /// News that never pauses.
    struct Storm;

    impl Source for Storm {
        async fn next(&mut self) -> io::Result<News> {
            Ok(News::Came)
        }

        fn gathered(&mut self) -> io::Result<Option<News>> {
            Ok(Some(News::Gone))
        }
    }

    #[derive(Default)]
    struct Heard {
        news: Mutex<Vec<News>>,
        most: usize,
    }

    impl Engine for Heard {
        async fn tell(&self, news: News) -> bool {
            let mut heard = self.news.lock().unwrap();
            heard.push(news);
            heard.len() < self.most
        }
    }

    #[tokio::test]
    async fn a_burst_is_two_pieces_of_news_the_first_at_once_and_the_worst_of_the_rest() {
        use News::{Came, Gone};
        let bursts = [vec![Came, Came, Gone, Came], vec![Came], vec![Gone]];
        let heard = Heard { most: usize::MAX, ..Heard::default() };
        let broken = pass_on(&mut Script(bursts.into()), &heard).await.unwrap_err();
        assert_eq!(broken.kind(), io::ErrorKind::BrokenPipe, "what breaks is told to whoever opens it again");
        // The gathered rest of the first burst takes the second burst's place in turn.
        assert_eq!(*heard.news.lock().unwrap(), [Came, Gone, Came, Gone][..]);
    }

    #[tokio::test]
    async fn a_storm_is_ten_pieces_of_news_in_a_second() {
        let begin = Instant::now();
        let heard = Heard { most: 5, ..Heard::default() };
        pass_on(&mut Storm, &heard).await.unwrap();
        assert!(begin.elapsed() >= 4 * GATHER, "{:?}", begin.elapsed());
        assert_eq!(heard.news.lock().unwrap()[1..], [News::Gone; 4]);
    }
}
