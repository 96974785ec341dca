//! One pass over the whole store.

use std::collections::BTreeMap;

use domain::dispatch::Lease;
use domain::ids::{ChargePointId, Micros, PodId, Slot};
use store::{Connection, Store, StoreError};

use crate::account;
use crate::config::AuditConfig;
use crate::report::Report;

/// Audits everything; repairs it unless `dry_run`.
///
/// # Errors
/// The store could not be asked. What was repaired until then stays repaired; the next pass goes on.
pub async fn sweep(store: &Store, config: &AuditConfig, dry_run: bool) -> Result<Report, StoreError> {
    let mut pass = Pass {
        store,
        config,
        dry_run,
        report: Report {
            dry_run,
            ..Report::default()
        },
    };
    if !dry_run {
        account::pass(true);
    }
    let pods = pass.pods().await?;
    pass.connections(&pods).await?;
    for slot in store.all_slots() {
        pass.report.slots += 1;
        pass.timers(slot).await?;
        pass.chargers(slot).await?;
    }
    if !dry_run {
        account::pass(false);
    }
    Ok(pass.report)
}

struct Pass<'a> {
    store: &'a Store,
    config: &'a AuditConfig,
    dry_run: bool,
    report: Report,
}

/// The leases as they were when the pass began, and Redis time then.
struct Pods {
    leases: BTreeMap<PodId, Lease>,
    now: Micros,
}

impl Pass<'_> {
    /// Reads the leases first: a registration that is newer than them is never taken for dead.
    async fn pods(&mut self) -> Result<Pods, StoreError> {
        let reply = self.store.leases().await?;
        let now = reply.redis_now;
        let age_us = self.config.forget_pod_ms.saturating_mul(1_000);
        let mut leases = BTreeMap::new();
        for lease in reply.value {
            self.report.pods += 1;
            if lease.expires.plus(age_us) <= now {
                self.report.add(
                    "pod",
                    format!("{} has been gone for long and is still recorded", lease.pod),
                );
                if !self.dry_run {
                    let reply = self.store.forget_lease(&lease.pod, age_us).await?;
                    account::dead_pod(&lease, &reply);
                }
            }
            leases.insert(lease.pod.clone(), lease);
        }
        Ok(Pods { leases, now })
    }

    async fn connections(&mut self, pods: &Pods) -> Result<(), StoreError> {
        let mut after = None;
        loop {
            let page = self
                .store
                .list_connections(None, after.as_deref(), self.config.page)
                .await?;
            for (connection, _) in &page.connections {
                self.report.connections += 1;
                self.connection(connection, pods).await?;
            }
            after = page.next;
            if after.is_none() {
                return Ok(());
            }
        }
    }

    /// Ends the registration of a dead life by the compare-and-set that its edge would have used.
    async fn connection(&mut self, connection: &Connection, pods: &Pods) -> Result<(), StoreError> {
        let device = &connection.device;
        let Some(pod) = device.pod.as_ref().filter(|_| device.connected) else {
            return Ok(());
        };
        if !self.is_dead(pods, pod, connection) {
            return Ok(());
        }
        let what = format!(
            "{} is registered with a life of {pod} that is over",
            connection.charge_point
        );
        self.report.add("dead route", what);
        if !self.dry_run {
            let (incarnation, version) = (device.incarnation, device.version);
            let reply = self
                .store
                .unregister(&connection.charge_point, incarnation, version)
                .await?;
            account::dead_route(connection, &reply);
        }
        Ok(())
    }

    fn is_dead(&self, pods: &Pods, pod: &PodId, connection: &Connection) -> bool {
        let device = &connection.device;
        let grace = self.config.dead_pod_ms.saturating_mul(1_000);
        // Made after the leases were read, or just before: its pod may have come up meanwhile.
        if device.registered.plus(grace) > pods.now {
            return false;
        }
        match pods.leases.get(pod) {
            None => true,
            Some(lease) => lease.incarnation > device.incarnation || lease.expires.plus(grace) <= pods.now,
        }
    }

    async fn timers(&mut self, slot: Slot) -> Result<(), StoreError> {
        let grace = self.config.overdue_ms.saturating_mul(1_000);
        let mut first = 0;
        loop {
            let range = (first, self.config.page);
            let reply = self.store.audit_timers(slot, range, !self.dry_run, grace).await?;
            let audit = reply.value;
            if !self.dry_run {
                account::mended(&audit.findings, &format!("slot {slot}"), reply.redis_now);
            }
            self.report.timers += u64::try_from(audit.seen).unwrap_or(u64::MAX);
            self.report.overdue += audit.overdue;
            // What was dropped has moved the rest forward.
            let dropped = audit
                .findings
                .iter()
                .filter(|f| f.kind == "timer" && !self.dry_run)
                .count();
            first += audit.seen - dropped.min(audit.seen);
            for finding in audit.findings {
                self.report.add(&finding.kind, finding.what);
            }
            if audit.seen < self.config.page {
                return Ok(());
            }
        }
    }

    async fn chargers(&mut self, slot: Slot) -> Result<(), StoreError> {
        let mut after: Option<ChargePointId> = None;
        loop {
            let page = self
                .store
                .list_chargers(slot, after.as_ref(), self.config.page)
                .await?;
            for charger in &page {
                self.report.chargers += 1;
                let reply = self.store.audit_charger(charger, !self.dry_run).await?;
                if !self.dry_run {
                    account::mended(&reply.value, charger.as_str(), reply.redis_now);
                }
                for finding in reply.value {
                    self.report.add(&finding.kind, finding.what);
                }
            }
            match page.last() {
                Some(last) if page.len() >= self.config.page => after = Some(last.clone()),
                _ => return Ok(()),
            }
        }
    }
}
