//! Core: which database each object server has to tell: container replicas and the queue of expiring objects, spread over the
//! requests to the object replicas.

use crate::backend::Placement;
use crate::backend::outgoing::{CONTAINER_UPDATE, EXPIRER_UPDATE, spread_updates};
use crate::backend::quorum::{container_updates, quorum_size};
use base::http::Headers;

/// The queue container for an expiry: its name and where it lives.
pub(super) struct Expiry {
    /// Seconds since 1970.
    pub(super) at: u64,
    /// Name of the container in `.expiring_objects`.
    pub(super) container: String,
    /// Its placement.
    pub(super) placement: Placement,
}

/// One set of fields per replica, `common` in each.
pub(super) fn requests(
    common: &Headers,
    replicas: usize,
    container: &Placement,
    expiry: Option<&Expiry>,
) -> Vec<Headers> {
    let mut requests = vec![common.clone(); replicas];
    let updated = container.primaries();
    let updates = container_updates(updated.len(), replicas);
    spread_updates(&mut requests, &CONTAINER_UPDATE, container.partition, &updated, updates);
    if let Some(expiry) = expiry {
        let queues = expiry.placement.primaries();
        for headers in requests.iter_mut().take(queues.len()) {
            headers.set("X-Delete-At-Container", expiry.container.clone());
        }
        spread_updates(&mut requests, &EXPIRER_UPDATE, expiry.placement.partition, &queues, queues.len());
    }
    for (place, headers) in requests.iter_mut().enumerate() {
        // A majority cleans the queue entry of the former version; more would only repeat it.
        let cleans = place < quorum_size(replicas);
        headers.set("X-Container-Root-Db-State", "unsharded");
        headers.set("X-Backend-Clean-Expiring-Object-Queue", if cleans { "t" } else { "f" });
    }
    requests
}
