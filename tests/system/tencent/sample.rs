//! The SDK's own sample, corrected: the example program as it stands, against the real daemon.
//!
//! Owns:  an outage of the service between the hand-over and the resend.
//! Never: repeats the flow: it is the example's.

use outbox_control::types::State;
use outboxd::service::Reply;

use crate::harness::{Daemon, QUICK, SOON, http_toml, service, until};

#[path = "../../../daemon/examples/resend_message.rs"]
mod resend_message;

#[tokio::test]
async fn the_flow_of_the_sdks_page_replaces_the_original_once_the_service_is_back() {
    let mut service = service(|_| Reply::Accept).await;
    service.stop().await;
    let daemon = Daemon::start(&http_toml(&service, "", QUICK)).await;
    let app = tokio::spawn({
        let client = outbox_control::Client::new(&daemon.place.socket);
        async move { resend_message::flow(&client).await }
    });
    until("the message is handed over", || async {
        let status = daemon.client.status().await.ok()?;
        (status.spool.messages == 1).then_some(())
    })
    .await;
    service.restart().await.unwrap();
    let resent = tokio::time::timeout(SOON, app).await.unwrap().unwrap().unwrap();

    assert_eq!(resent.original, "144115225971632901-1731500001-2911436684");
    let new_msg_id = resent.new.msg_id.unwrap();
    assert_ne!(new_msg_id, resent.original);
    let entry = daemon.client.message(&resent.original).await.unwrap();
    assert_eq!((entry.state, entry.new_msg_id), (State::Sent, Some(new_msg_id)));
    assert_eq!(service.ledger().len(), 1);
}
