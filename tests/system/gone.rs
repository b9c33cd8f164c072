//! A store that fails under a running daemon: taken away, replaced, or not to be closed.
//!
//! Owns:  what is still accepted then, how the daemon ends, what the next start finds.
//! Never: fills a disk or damages a byte.

use std::fs;
use std::path::Path;

use crate::harness::{Daemon, until};
use crate::messages::submit;

/// What happens to a store while it is open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Loss {
    File,
    Folder,
    Spool,
    /// A copy takes the place of the file.
    Replaced,
}

impl Loss {
    fn befalls(self, spool: &Path) {
        let (store, copy) = (spool.join("store"), spool.join("copy"));
        match self {
            Self::File => fs::remove_file(store.join("db")).unwrap(),
            Self::Folder => fs::remove_dir_all(store).unwrap(),
            Self::Spool => fs::remove_dir_all(spool).unwrap(),
            Self::Replaced => {
                fs::copy(store.join("db"), &copy).unwrap();
                fs::rename(copy, store.join("db")).unwrap();
            }
        }
    }
}

#[tokio::test]
async fn nothing_is_accepted_into_a_store_that_was_taken_away() {
    for loss in [Loss::File, Loss::Folder, Loss::Spool, Loss::Replaced] {
        let mut daemon = Daemon::start("").await;
        for msg_id in ["before", "too"] {
            daemon.client.submit_json(submit(msg_id, "lena").into_bytes()).await.unwrap();
        }
        loss.befalls(&daemon.place.spool);
        // The first is known, and would be answered without a change.
        for msg_id in ["before", "behind", "last"] {
            let refused = daemon.post("/v1/messages", &submit(msg_id, "lena")).await;
            let problem = refused.problem(503, "store_unhealthy");
            let detail = problem["detail"].as_str().unwrap();
            assert!(
                detail.contains("the store has failed") && detail.contains("store/db"),
                "{loss:?}: {detail}"
            );
        }
        assert_eq!(daemon.get("/v1/health/ready").await.status, 503, "{loss:?}");
        let told = daemon.ctl(&["status"]).await;
        assert!(told.out.contains("damage:"), "{loss:?}: {told:?}");
        until("the log says so", async || daemon.log().contains("The store takes no changes.").then_some(()))
            .await;
        assert_eq!(daemon.term().await, Some(1), "{loss:?}: {}", daemon.log());
        daemon.start_again().await;
        let status = daemon.get("/v1/status").await.json();
        let (messages, missing) = match loss {
            Loss::File | Loss::Folder => (0, 2),
            // A new one, which never knew of them.
            Loss::Spool => (0, 0),
            Loss::Replaced => (2, 0),
        };
        assert_eq!(status["spool"]["messages"], messages, "{loss:?}: {status}");
        assert_eq!(status["spool"]["missing"], missing, "{loss:?}: {status}");
        daemon.client.submit_json(submit("afterwards", "lena").into_bytes()).await.unwrap();
        assert_eq!(daemon.term().await, Some(0), "{loss:?}");
    }
}

#[tokio::test]
async fn a_stop_that_cannot_close_the_spool_ends_with_1_and_nothing_is_lost() {
    let mut daemon = Daemon::start("").await;
    daemon.client.submit_json(submit("m", "lena").into_bytes()).await.unwrap();
    // In the place of the mark that is written last.
    let clean = daemon.place.spool.join("clean");
    fs::create_dir(&clean).unwrap();
    assert_eq!(daemon.term().await, Some(1), "{}", daemon.log());
    assert!(daemon.log().contains("The spool was not closed in order."), "{}", daemon.log());
    fs::remove_dir(&clean).unwrap();
    daemon.start_again().await;
    assert!(daemon.client.message("m").await.is_ok());
    assert_eq!(daemon.term().await, Some(0));
}
