//! Histories made by hand: each helper writes the lines that the real parts would write for one step.

mod cast;

use std::collections::BTreeMap;
use std::path::Path;

use checker::Report;
use serde_json::{Value, json};
use tempfile::TempDir;

pub(crate) use cast::{Cmd, LINK, Link, redis, risky, safe};

/// A run that is being told. Times are milliseconds of the machine's clock.
#[derive(Debug, Clone)]
pub(crate) struct Story {
    pub(crate) files: BTreeMap<String, Vec<Value>>,
    pub(crate) run: Value,
    pub(crate) dump: Vec<Value>,
    calls: u64,
    offset: u64,
}

impl Default for Story {
    fn default() -> Self {
        Self {
            files: BTreeMap::new(),
            run: json!({"seed": 7, "mode": "both", "settings": {
                "max_attempts": 3, "lease_ms": 10_000, "slots": 64, "durability": "fsync", "epsilon_us": 100_000,
                "max_open_per_charger": 2, "answer_timeout_ms": 5_000, "urgent_answer_timeout_ms": 2_000,
                "canary_ms": 3_000, "bounds": {"end_ms": 5_000, "drain_ms": 10_000, "takeover_ms": 8_000,
                "kick_ms": 4_000, "quarantine_ms": 5_000}}}),
            dump: vec![json!({"key": "hf:{s1}:m", "type": "hash", "ttl_ms": -1, "value": {"o": "1"}})],
            calls: 0,
            offset: 0,
        }
    }
}

impl Story {
    /// A charger that connected at 1 s.
    pub(crate) fn new() -> Self {
        let mut story = Self::default();
        story.lease("edge-1", 500, 1_000_000);
        story.connect(LINK, 1_000);
        story
    }

    /// One line.
    pub(crate) fn line(&mut self, proc: &str, ms: u64, ev: &str, fields: Value) {
        let mut line = json!({"t_us": redis(ms), "m_us": ms * 1_000, "proc": proc, "pid": 1, "ev": ev});
        if let (Value::Object(line), Value::Object(fields)) = (&mut line, fields) {
            line.extend(fields);
        }
        self.files.entry(proc.to_owned()).or_default().push(line);
    }

    /// A line of the chargers' log.
    pub(crate) fn seen(&mut self, cp: &str, ms: u64, kind: &str, fields: Value) {
        let mut line = json!({"t_us": redis(ms), "m_us": ms * 1_000, "cp": cp, "conn": 1, "kind": kind});
        if let (Value::Object(line), Value::Object(fields)) = (&mut line, fields) {
            line.extend(fields);
        }
        self.files.entry("chargers".to_owned()).or_default().push(line);
    }

    /// An edge's lease.
    pub(crate) fn lease(&mut self, edge: &str, ms: u64, until_ms: u64) {
        self.line(
            edge,
            ms,
            "lease",
            json!({"inc": 10, "until_m_us": until_ms * 1_000}),
        );
    }

    /// A charger connects and is registered.
    pub(crate) fn connect(&mut self, link: Link, ms: u64) {
        self.seen(link.cp, ms, "connected", json!({}));
        self.line(
            link.edge,
            ms + 1,
            "open",
            json!({"cp": link.cp, "socket": link.socket}),
        );
        self.line(
            "router-1",
            ms + 2,
            "registered",
            json!({"cp": link.cp, "pod": link.edge, "inc": 10, "seq": link.socket, "version": link.version,
                "now_us": redis(ms + 2)}),
        );
        self.line(
            link.edge,
            ms + 3,
            "version",
            json!({"cp": link.cp, "socket": link.socket, "version": link.version}),
        );
    }

    /// A call; the number of it is returned.
    pub(crate) fn call(&mut self, cmd: Cmd, key: &str, payload: &str, ms: u64) -> u64 {
        self.calls += 1;
        let n = self.calls;
        self.line(
            "client",
            ms,
            "call",
            json!({"n": n, "key": key, "cp": LINK.cp, "action": "Reset", "unsafe": cmd.is_unsafe,
                "priority": cmd.priority, "deadline_us": redis(cmd.deadline_ms), "payload_hash": payload}),
        );
        n
    }

    /// Its reply.
    pub(crate) fn reply(&mut self, n: u64, ms: u64, fields: Value) {
        self.line("client", ms, "reply", json!({"n": n}));
        let lines = self.files.get_mut("client").unwrap();
        if let (Some(Value::Object(line)), Value::Object(fields)) = (lines.last_mut(), fields) {
            line.extend(fields);
        }
    }

    /// A call and its acceptance.
    pub(crate) fn accept(&mut self, cmd: Cmd, ms: u64) {
        let n = self.call(cmd, cmd.id, "p", ms);
        self.reply(n, ms + 2, json!({"ok": true, "id": cmd.id}));
    }

    /// A claim; its number is its Redis time and one.
    pub(crate) fn dispatch(&mut self, cmd: Cmd, link: Link, attempt: u32, ms: u64) -> u64 {
        let dispatch = redis(ms) + 1;
        self.line(
            "router-1",
            ms,
            "dispatch",
            json!({"id": cmd.id, "cp": link.cp, "dispatch": dispatch, "version": link.version, "pod": link.edge,
                "inc": 10, "attempt": attempt}),
        );
        dispatch
    }

    /// The record reaches its connection.
    pub(crate) fn take(&mut self, cmd: Cmd, link: Link, dispatch: u64, ms: u64) {
        self.line(
            link.edge,
            ms,
            "taken",
            json!({"id": cmd.id, "cp": link.cp, "socket": link.socket, "version": link.version,
                "dispatch": dispatch, "inc": 10, "attempt": 1, "priority": cmd.priority}),
        );
    }

    /// The edge writes it.
    pub(crate) fn write(&mut self, cmd: Cmd, link: Link, dispatch: u64, attempt: u32, ms: u64) {
        self.line(
            link.edge,
            ms,
            "write",
            json!({"id": cmd.id, "cp": link.cp, "socket": link.socket, "version": link.version,
                "dispatch": dispatch, "inc": 10, "attempt": attempt, "unsafe": cmd.is_unsafe, "nonce": 5,
                "priority": cmd.priority, "deadline_us": redis(cmd.deadline_ms),
                "redis_upper_us": redis(ms + 1), "lease_until_m_us": 1_000_000_000}),
        );
    }

    /// The charger receives it.
    pub(crate) fn receive(&mut self, cmd: Cmd, link: Link, ms: u64) {
        self.seen(link.cp, ms, "call_received", json!({"message_id": cmd.id}));
    }

    /// The charger replies, and the edge hears it.
    pub(crate) fn answer(&mut self, cmd: Cmd, link: Link, ms: u64, reply: Value) {
        self.seen(link.cp, ms, "reply_sent", json!({"message_id": cmd.id}));
        let lines = self.files.get_mut("chargers").unwrap();
        if let (Some(Value::Object(line)), Value::Object(reply)) = (lines.last_mut(), reply) {
            line.extend(reply);
        }
        self.line(
            link.edge,
            ms + 1,
            "answer",
            json!({"id": cmd.id, "cp": link.cp, "socket": link.socket}),
        );
    }

    /// A decision of the store.
    pub(crate) fn apply(
        &mut self,
        router: &str,
        id: &str,
        kind: &str,
        dispatch: u64,
        (verdict, status): (&str, &str),
        ms: u64,
    ) {
        self.line(
            router,
            ms,
            "applied",
            json!({"id": id, "kind": kind, "dispatch": dispatch, "version": 100, "verdict": verdict,
                "status": status, "now_us": redis(ms)}),
        );
    }

    /// The command ends, is published, found on Kafka and read.
    pub(crate) fn end(&mut self, cmd: Cmd, state: &str, reason: &str, ms: u64) {
        self.line(
            "router-1",
            ms,
            "ended",
            json!({"id": cmd.id, "state": state, "now_us": redis(ms)}),
        );
        let dead = ["FAILED", "EXPIRED"].contains(&state);
        self.publish(cmd, state, reason, ms + 1, false);
        if dead {
            self.publish(cmd, state, reason, ms + 1, true);
        }
        self.get(cmd, state, reason, ms);
    }

    /// A record on Kafka.
    pub(crate) fn publish(&mut self, cmd: Cmd, state: &str, reason: &str, ms: u64, dead: bool) {
        self.offset += 1;
        let (proc, topic) = if dead {
            ("dead-letters", "commands-dead-letter")
        } else {
            ("results", "command-results")
        };
        let seq = self.offset;
        let seq = self.seq_of(cmd).unwrap_or(seq);
        self.line(
            "router-1",
            ms,
            "published",
            json!({"id": cmd.id, "record_id": cmd.id, "seq": seq, "dead": dead}),
        );
        self.line(
            proc,
            ms + 1,
            "record",
            json!({"topic": topic, "partition": 0, "offset": self.offset, "id": cmd.id, "record_id": cmd.id,
                "cp": LINK.cp, "seq": seq, "state": state, "reason": reason, "possibly_written": false,
                "attempts": 1}),
        );
    }

    /// The caller reads it.
    pub(crate) fn get(&mut self, cmd: Cmd, state: &str, reason: &str, ended_ms: u64) {
        self.line(
            "client",
            ended_ms + 10,
            "get",
            json!({"id": cmd.id, "state": state, "reason": reason, "answer": {"result": {"status": "Accepted"}}, "attempts": 1,
                "possibly_written": false, "ended_us": redis(ended_ms)}),
        );
    }

    /// A command's whole life without trouble, from its acceptance to its answer 40 ms later.
    pub(crate) fn deliver(&mut self, cmd: Cmd, ms: u64) {
        self.accept(cmd, ms);
        let dispatch = self.dispatch(cmd, LINK, 1, ms + 5);
        self.write(cmd, LINK, dispatch, 1, ms + 10);
        self.receive(cmd, LINK, ms + 12);
        self.finish(cmd, LINK, ms + 20);
    }

    /// The charger accepts, and the command ends so.
    pub(crate) fn finish(&mut self, cmd: Cmd, link: Link, ms: u64) {
        self.answer(cmd, link, ms, json!({"payload": {"status": "Accepted"}}));
        self.apply(
            "router-1",
            cmd.id,
            "answer",
            0,
            ("applied", "ACKNOWLEDGED"),
            ms + 4,
        );
        self.end(cmd, "ACKNOWLEDGED", "", ms + 4);
    }

    /// A fault and its heal.
    pub(crate) fn fault(&mut self, kind: &str, target: &str, from_ms: u64, to_ms: u64) {
        self.line(
            "faults",
            from_ms,
            "inject",
            json!({"kind": kind, "target": target, "detail": null}),
        );
        self.line("faults", to_ms, "heal", json!({"kind": kind, "target": target}));
    }

    /// All is healed, and later drained.
    pub(crate) fn healed(&mut self, ms: u64, drained_ms: u64) {
        self.line("faults", ms, "healed_all", json!({}));
        self.line("faults", drained_ms, "drained", json!({}));
    }

    /// The run went on at least until then, and the auditor looked all the time.
    pub(crate) fn until(&mut self, ms: u64) {
        for ms in (0..ms).step_by(5_000).chain([ms]) {
            let clean = json!({"open": 0, "untimed": 0, "doubly_timed": 0, "violations": []});
            self.line("auditor", ms, "audit", clean);
        }
    }

    /// Changes the lines of an event; there must be one that is changed.
    pub(crate) fn edit(&mut self, ev: &str, change: impl Fn(&mut Value) -> bool) {
        let lines = self.files.values_mut().flatten();
        let changed = lines
            .filter(|line| line["ev"] == ev || line["kind"] == ev)
            .map(change);
        assert!(
            changed.filter(|changed| *changed).count() > 0,
            "no `{ev}` was changed"
        );
    }

    /// Drops lines; there must be one.
    pub(crate) fn drop(&mut self, unwanted: impl Fn(&Value) -> bool) {
        let mut dropped = 0;
        for lines in self.files.values_mut() {
            let before = lines.len();
            lines.retain(|line| !unwanted(line));
            dropped += before - lines.len();
        }
        assert!(dropped > 0, "nothing was dropped");
    }

    /// Puts the run into a folder.
    pub(crate) fn write_to(&self, folder: &Path) {
        for (name, lines) in &self.files {
            let text: String = lines.iter().map(|line| format!("{line}\n")).collect();
            std::fs::write(folder.join(format!("{name}.jsonl")), text).unwrap();
        }
        let dump: String = self.dump.iter().map(|line| format!("{line}\n")).collect();
        std::fs::write(folder.join("dump.jsonl"), dump).unwrap();
        std::fs::write(folder.join("run.json"), self.run.to_string()).unwrap();
    }

    /// The run as a folder of its own.
    pub(crate) fn folder(&self) -> TempDir {
        let folder = tempfile::tempdir().unwrap();
        self.write_to(folder.path());
        folder
    }

    /// What the checker says.
    pub(crate) fn check(&self) -> Report {
        checker::check(self.folder().path(), None).unwrap()
    }

    /// The run exercises an invariant, and breaks none.
    #[track_caller]
    pub(crate) fn shows(&self, invariant: u8) {
        let report = self.check();
        assert_eq!(report.violations, 0, "{}", report.table());
        assert!(report.exercised.contains(&invariant), "{}", report.table());
    }

    /// The run breaks this invariant and no other.
    #[track_caller]
    pub(crate) fn breaks(&self, invariant: u8) -> Report {
        let report = self.check();
        let broken: Vec<u8> = report
            .invariants
            .iter()
            .filter(|row| row.violations > 0)
            .map(|row| row.invariant)
            .collect();
        assert_eq!(broken, [invariant], "{}", report.table());
        report
    }

    /// The number that a command's result already has.
    fn seq_of(&self, cmd: Cmd) -> Option<u64> {
        let lines = self.files.get("router-1")?.iter();
        let mut published = lines.filter(|line| line["ev"] == "published");
        published
            .find(|line| line["id"] == cmd.id)
            .and_then(|line| line["seq"].as_u64())
    }
}
