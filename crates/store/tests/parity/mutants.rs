//! The comparison is itself tested: one altered line of the prelude must be found.

use anyhow::Result;
use domain::ids::Slot;
use store::{Durability, testing};

use crate::support::{self, Keeps, Redis};
use crate::world::World;
use crate::{EVENTS, settings};

/// A line of the prelude, and what becomes of it.
const MUTANTS: &[(&str, &str)] = &[
    ("set(c, 'di', math.max(c.di, NOW) + 1)", "set(c, 'di', c.di + 1)"),
    (
        "return same and (fence == 1 or c.st == 'S' or c.no == event.nonce)",
        "return same",
    ),
    (
        "if c.di > 0 or c.ep ~= EPOCH then bits = 1 end",
        "if c.di > 0 then bits = 1 end",
    ),
    (
        "return NOW + GRANT_US + c.at + POD_LEASE_US",
        "return NOW + GRANT_US + c.at",
    ),
    ("if missed then set(c, 'mi', c.mi + 1) end", ""),
    (
        "if c and c.dl > NOW then return c, offset",
        "if c then return c, offset",
    ),
    ("if c and (force or c.ti <= NOW) then", "if c then"),
    ("return d.con == '1' and d.exp > NOW", "return d.con == '1'"),
    (
        "d.inc ~= incarnation or str(d.ver) ~= version",
        "d.inc ~= incarnation",
    ),
    (
        "pack_ended(c), 'PX', str(math.ceil(retention / 1000)))",
        "pack_ended(c))",
    ),
    ("redis.call('ZREM', key('due'), c.id)", ""),
    ("elseif d[lane] == c.id then", "else"),
    (
        "return math.floor(step * JITTER / 65536)",
        "return math.floor(step * JITTER / 65535)",
    ),
    (
        "if event.kind == 'answer' and c.st ~= 'A' and event.answer ~= '' then",
        "if false then",
    ),
    ("return string.format('%d', n)", "return tostring(n)"),
    ("if NOW > tonumber(ARGV[1]) then", "if false then"),
    ("local STALL_US = 2000000", "local STALL_US = 20000000"),
    ("local ROUND_NOTED_US = 500000", "local ROUND_NOTED_US = 0"),
    (
        "if redis.call('ZCARD', key('due')) == 0 then redis.call('HSET', key('m'), 'lr', str(NOW)) end",
        "",
    ),
    ("if over ~= '-' and c.rp ~= '' then remember(c, over) end", ""),
    ("set(c, 'wr', 0)", ""),
    ("if d.sk >= MAX_OVERTAKES then return oldest, 0 end", ""),
    (
        "if not c or c.di > 0 then return c, d.sk end",
        "if not c then return c, d.sk end",
    ),
    ("if surplus > 0 then", "if false then"),
    ("if is_dead(c) then list_dead_letter(c) end", ""),
    ("if c.gone then return nil end", ""),
    ("if OPEN[c.st] then return {} end", "if true then return {} end"),
    (
        "c.dl, c.st, c.n, c.rp, c.ri, c.rv = v[7] + accepted,",
        "c.dl, c.st, c.n, c.rp, c.ri, c.rv = v[7],",
    ),
    ("redis.call('ZADD', key('all'), 0, listing(c))", ""),
    ("redis.call('ZREM', key('all'), listing(c))", ""),
];

const SEQUENCES: u64 = 150;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_broken_line_of_lua_is_caught() -> Result<()> {
    let redis = Redis::start(Keeps::Nothing, &[])?;
    for (line, broken) in MUTANTS {
        let config = support::config(redis.url(), Durability::Relaxed);
        let alter = |prelude: String| {
            assert_eq!(
                prelude.matches(line).count(),
                1,
                "the prelude has not once: {line}"
            );
            prelude.replace(line, broken)
        };
        let store = testing::connect(config, settings(), alter).await?;
        let mut caught = false;
        for seed in 0..SEQUENCES {
            if World::new(&store, Slot(0), seed).run(EVENTS).await.is_err() {
                caught = true;
                break;
            }
        }
        store.close().await;
        assert!(caught, "nobody noticed that {line:?} became {broken:?}");
    }
    Ok(())
}
