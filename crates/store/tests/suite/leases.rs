//! Leases of pods: taken, repeated, renewed, lapsed, superseded, marked.

use anyhow::{Context as _, Result};
use domain::dispatch::Consumes;
use domain::ids::{Incarnation, LinkNumber, Nonce, PodId, Version};
use store::{Mark, Renewal, Store, StoreConfig, TakeReply, Taking};

use super::connect;
use crate::support::{samples, until};

pub(crate) async fn all(config: &StoreConfig) -> Result<()> {
    let store = connect(config).await?;
    a_life_is_taken_renewed_and_lapses(&store).await?;
    a_newer_life_supersedes(&store).await?;
    marks_speak_of_one_link(&store).await?;
    what_comes_late_moves_a_life_nowhere(&store).await?;
    a_late_request_for_a_life_that_lapsed_begins_no_other(&store).await?;
    a_process_takes_no_life_over_an_older_link_than_another_process(&store).await?;
    store.close().await;
    Ok(())
}

fn taking(pod: &PodId, last_own: u64, process: u64) -> Taking {
    let consumes = Consumes {
        topic: "commands-down-shard-0".into(),
        normal: 3,
        urgent: 11,
    };
    Taking {
        link: None,
        pod: pod.clone(),
        last_own: Incarnation(last_own),
        process: Nonce(process),
        consumes,
    }
}

async fn take(store: &Store, taking: &Taking) -> Result<Incarnation> {
    match store.take_incarnation(taking).await?.value {
        TakeReply::Taken { incarnation, .. } => Ok(incarnation),
        TakeReply::Superseded => anyhow::bail!("superseded"),
    }
}

async fn a_life_is_taken_renewed_and_lapses(store: &Store) -> Result<()> {
    let pod = samples::pod("edge-1");
    assert_eq!(store.lease(&pod).await?.value, None);
    let process = u64::MAX - 5;
    let life = take(store, &taking(&pod, 0, process)).await?;
    let epoch = store.epoch();
    let renewed = store
        .renew_lease(None, &pod, life, Version(77), &epoch, None)
        .await?
        .value;
    assert!(matches!(renewed, Renewal::Renewed { .. }), "{renewed:?}");
    let lease = store.lease(&pod).await?.value.context("no lease")?;
    assert_eq!(
        (lease.incarnation, lease.floor, lease.consumes.urgent),
        (life, Version(77), 11)
    );
    assert_eq!(
        take(store, &taking(&pod, 0, process)).await?,
        life,
        "its reply was lost: the same again"
    );
    takes_a_new_life_after_the_lapse(store, &pod, life, process).await?;
    assert!(
        !store.forget_lease(&pod, 1 << 60).await?.value,
        "young records are kept"
    );
    Ok(())
}

async fn takes_a_new_life_after_the_lapse(
    store: &Store,
    pod: &PodId,
    life: Incarnation,
    process: u64,
) -> Result<()> {
    lapses(store, pod).await;
    let lapsed = store
        .renew_lease(None, pod, life, Version(0), "", None)
        .await?
        .value;
    assert_eq!(lapsed, Renewal::Lapsed, "a lapsed lease is never renewed");
    let next = take(store, &taking(pod, life.0, process)).await?;
    assert!(next > life);
    Ok(())
}

async fn lapses(store: &Store, pod: &PodId) {
    until("the lease lapses", async || {
        let lease = store.lease(pod).await.ok()?;
        (lease.value?.expires <= lease.redis_now).then_some(())
    })
    .await;
}

async fn a_newer_life_supersedes(store: &Store) -> Result<()> {
    let pod = samples::pod("edge-2");
    let first = take(store, &taking(&pod, 0, 1)).await?;
    let second = take(store, &taking(&pod, 0, 2)).await?;
    assert!(second > first);
    let renewal = store
        .renew_lease(None, &pod, first, Version(0), "", None)
        .await?
        .value;
    assert_eq!(renewal, Renewal::Superseded);
    let back = store.take_incarnation(&taking(&pod, first.0, 1)).await?.value;
    assert_eq!(
        back,
        TakeReply::Superseded,
        "a former process does not take its pod back"
    );
    let pods: Vec<PodId> = store.leases().await?.value.into_iter().map(|l| l.pod).collect();
    assert_eq!(pods.len(), 2);
    Ok(())
}

async fn marks_speak_of_one_link(store: &Store) -> Result<()> {
    let pod = samples::pod("edge-3");
    let old = store.link(&pod, Incarnation(0)).await?.value;
    assert_eq!((old.link, old.lease), (LinkNumber(1), None));
    let life = take(store, &taking(&pod, 0, 1)).await?;
    let new = store.link(&pod, life).await?.value;
    let late = store.mark_pod(&pod, life, Mark::Suspect(old.link)).await?.value;
    assert!(!late, "the end of a former link says nothing of the present one");
    assert!(store.mark_pod(&pod, life, Mark::Suspect(new.link)).await?.value);
    assert!(store.lease(&pod).await?.value.is_some_and(|l| l.suspect));
    let again = store.link(&pod, life).await?.value;
    assert!(
        again.lease.is_some_and(|l| !l.suspect),
        "linking again clears the suspicion"
    );
    assert!(!store.mark_pod(&pod, Incarnation(5), Mark::Draining).await?.value);
    assert!(store.mark_pod(&pod, life, Mark::Draining).await?.value);
    assert!(store.lease(&pod).await?.value.is_some_and(|l| l.draining));
    Ok(())
}

async fn what_comes_late_moves_a_life_nowhere(store: &Store) -> Result<()> {
    let pod = samples::pod("edge-4");
    let old = store.link(&pod, Incarnation(0)).await?.value.link;
    let first = taking(&pod, 0, 1);
    let life = take(store, &first).await?;
    let new = store.link(&pod, life).await?.value.link;
    let elsewhere = Consumes {
        topic: "commands-down-shard-1".into(),
        ..first.consumes.clone()
    };
    assert!(!renewed_late(store, new, &pod, life, &elsewhere).await?);
    assert!(renewed_late(store, old, &pod, life, &first.consumes).await?);
    let lease = store.lease(&pod).await?.value.context("no lease")?;
    assert_eq!(
        lease.consumes, elsewhere,
        "a renewal over the former link came late"
    );
    assert!(store.mark_pod(&pod, life, Mark::Draining).await?.value);
    assert!(store.mark_pod(&pod, life, Mark::Suspect(new)).await?.value);
    a_late_repetition_revives_nothing(store, old, &first).await?;
    let over_new = Taking {
        link: Some(new),
        ..first
    };
    let again = store.take_incarnation(&over_new).await?.value;
    assert!(
        matches!(again, TakeReply::Taken { incarnation, placed: false, .. } if incarnation == life),
        "the lease names where it is since: {again:?}"
    );
    let lease = store.lease(&pod).await?.value.context("no lease")?;
    assert_eq!((&lease.consumes, lease.draining), (&elsewhere, true));
    assert!(!lease.suspect, "a repetition over a new link shows that it lives");
    let process = taking(&pod, 0, 2);
    assert!(take(store, &process).await? > life);
    let lease = store.lease(&pod).await?.value.context("no lease")?;
    assert_eq!((&lease.consumes, lease.draining), (&process.consumes, false));
    Ok(())
}

/// A repetition over an older link of a life that is suspect is answered, and changes nothing.
async fn a_late_repetition_revives_nothing(store: &Store, old: LinkNumber, first: &Taking) -> Result<()> {
    let before = store.lease(&first.pod).await?.value.context("no lease")?;
    let late = Taking {
        link: Some(old),
        ..first.clone()
    };
    assert_eq!(take(store, &late).await?, before.incarnation);
    let after = store.lease(&first.pod).await?.value.context("no lease")?;
    assert!(after.suspect);
    assert_eq!(after, before, "neither its end nor its suspicion moved");
    Ok(())
}

/// The reply to the first request was lost with its link, and the router performs a repetition of it once the lease has
/// lapsed that the process got by another link.
async fn a_late_request_for_a_life_that_lapsed_begins_no_other(store: &Store) -> Result<()> {
    let pod = samples::pod("edge-5");
    let old = store.link(&pod, Incarnation(0)).await?.value.link;
    let first = Taking {
        link: Some(old),
        ..taking(&pod, 0, 1)
    };
    let life = take(store, &first).await?;
    let new = store.link(&pod, life).await?.value.link;
    lapses(store, &pod).await;
    let before = store.lease(&pod).await?.value;
    let late = store.take_incarnation(&first).await?;
    assert!(
        matches!(late.value, TakeReply::Taken { incarnation, expires, .. }
            if incarnation == life && expires <= late.redis_now),
        "{late:?}"
    );
    assert_eq!(
        store.lease(&pod).await?.value,
        before,
        "nothing was prolonged or moved"
    );
    let renewal = store.renew_lease(Some(new), &pod, life, Version(0), "", None);
    assert_eq!(
        renewal.await?.value,
        Renewal::Lapsed,
        "the process is told to take another life, not to exit"
    );
    let next = Taking {
        link: Some(old),
        ..taking(&pod, life.0, 1)
    };
    assert!(
        take(store, &next).await? > life,
        "a request after the last life is none of before it, whatever the link"
    );
    Ok(())
}

/// A process that ended had asked for its first life by a router that stood still; its successor lives.
async fn a_process_takes_no_life_over_an_older_link_than_another_process(store: &Store) -> Result<()> {
    let pod = samples::pod("edge-6");
    let over = |link, process| Taking {
        link: Some(link),
        ..taking(&pod, 0, process)
    };
    let old = store.link(&pod, Incarnation(0)).await?.value.link;
    let new = store.link(&pod, Incarnation(0)).await?.value.link;
    let life = take(store, &over(new, 2)).await?;
    let late = store.take_incarnation(&over(old, 1)).await?.value;
    assert_eq!(late, TakeReply::Superseded);
    let renewal = store.renew_lease(Some(new), &pod, life, Version(0), "", None);
    assert!(matches!(renewal.await?.value, Renewal::Renewed { .. }));
    // A link that nobody took a life over hinders none: the last word of a process that ended may come late as well.
    let successor = store.link(&pod, Incarnation(0)).await?.value.link;
    store.link(&pod, life).await?;
    assert!(take(store, &over(successor, 3)).await? > life);
    Ok(())
}

/// Renews over a link, and tells whether the store holds the link for an older one.
async fn renewed_late(
    store: &Store,
    link: LinkNumber,
    pod: &PodId,
    life: Incarnation,
    place: &Consumes,
) -> Result<bool> {
    let renewed = store.renew_lease(Some(link), pod, life, Version(0), "", Some(place));
    match renewed.await?.value {
        Renewal::Renewed { late, .. } => Ok(late),
        other => anyhow::bail!("{other:?}"),
    }
}
