//! What a link tells the rest of the edge.

use domain::ids::PodId;

use super::*;
use crate::config::EdgeConfig;
use crate::testing::Bench;

#[tokio::test]
async fn each_renewal_that_confirms_a_place_is_told_to_the_consumer() {
    let bench = Bench::new();
    let (publish, mut published) = watch::channel(None);
    let link = Link::new(LinkParts {
        hub: Arc::clone(&bench.hub),
        routers: Vec::new(),
        config: EdgeConfig::default().link,
        lease: LeaseSettings {
            pod: PodId::parse("edge-1").unwrap(),
            process_nonce: 5,
            renew_us: 1,
            margin_us: 1,
            reply_timeout_us: 1,
        },
        placement: watch::channel(None).0,
        published: publish,
        proven: watch::channel(None).1,
        goodbye: CancellationToken::new(),
    });
    let place = Consumes {
        topic: "commands-down-shard-1".into(),
        normal: 3,
        urgent: 11,
    };
    for _ in 0..2 {
        link.perform([Effect::Published(place.clone())], 0);
        assert!(
            published.has_changed().unwrap(),
            "the consumer trusts only what is said after a move"
        );
        assert_eq!(*published.borrow_and_update(), Some(place.clone()));
    }
}
