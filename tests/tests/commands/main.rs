//! One command end to end, and what a caller may see of it and do about it. No faults here.

mod delivery;
mod queries;

use std::sync::LazyLock;

use integration::{Charger, System, SystemSpec, World};

static WORLD: LazyLock<World> =
    LazyLock::new(|| World::start(SystemSpec::new("commands").routers(2).edges(2)));

/// A charger on the first edge, registered.
async fn charger(system: &System, name: &str) -> Charger {
    let id = system.charger_id(name);
    let charger = Charger::connect(system.edge(1), &id).await;
    system.api(1).connected(&id).await;
    charger
}
