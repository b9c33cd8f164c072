//! A store that fails under a running daemon: taken away, replaced, or not to be closed.
//!
//! Owns:  what is still accepted then, how the daemon ends, what the next start finds.
//! Never: fills a disk or damages a byte.

use crate::harness::Daemon;
use crate::messages::submit;

#[tokio::test]
async fn a_stop_that_cannot_close_the_spool_ends_with_1_and_nothing_is_lost() {
    let mut daemon = Daemon::start("").await;
    daemon.client.submit_json(submit("m", "lena").into_bytes()).await.unwrap();
    // In the place of the mark that is written last.
    let clean = daemon.place.spool.join("clean");
    std::fs::create_dir(&clean).unwrap();
    assert_eq!(daemon.term().await, Some(1), "{}", daemon.log());
    assert!(daemon.log().contains("The spool was not closed in order."), "{}", daemon.log());
    std::fs::remove_dir(&clean).unwrap();
    daemon.start_again().await;
    assert!(daemon.client.message("m").await.is_ok());
    assert_eq!(daemon.term().await, Some(0));
}
