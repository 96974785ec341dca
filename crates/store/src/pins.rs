//! Slot count, hash and schema, pinned in Redis at the first start: two routers with two slot counts would
//! keep two registries.

use fred::interfaces::KeysInterface;
use fred::types::SetOptions;

use crate::client::{Core, options};
use crate::error::StoreError;
use crate::keys::Place;
use fred::interfaces::ClientLike;

impl Core {
    /// Pins, or compares with what is pinned.
    pub(crate) async fn pin(&self) -> Result<(), StoreError> {
        const OPERATION: &str = "pin";
        let expected = self.keys.pinned();
        let client = self.client(Place::Pods, OPERATION)?.with_options(&options());
        let set = client
            .set(
                self.keys.pins(),
                expected.as_str(),
                None,
                Some(SetOptions::NX),
                false,
            )
            .await;
        let set: Option<String> = set.map_err(|e| StoreError::from_redis(OPERATION, e))?;
        if set.is_some() {
            return Ok(());
        }
        let found = client.get(self.keys.pins()).await;
        let found: Option<String> = found.map_err(|e| StoreError::from_redis(OPERATION, e))?;
        let found = found.unwrap_or_default();
        if found == expected {
            Ok(())
        } else {
            Err(StoreError::Pins { expected, found })
        }
    }
}
