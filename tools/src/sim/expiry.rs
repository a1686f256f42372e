//! Objects that expire in a simulated cluster: they go, their rows too, and nothing else does, whatever crashes meanwhile.
//!
//! Some objects have a time, some had one and were written again without, some have one far away. While the proxy's expirer works, nodes
//! crash and lose messages; in the end the listing holds what was to be kept, and each of it can be read.

use super::client::Client;
use super::cluster::{Cluster, RingFiles};
use super::{RECOVERY, nemesis};
use base::http::Method;
use base::io::sim::{Sim, SimHandle};
use base::io::{sleep, spawn};
use bytes::Bytes;
use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;

/// Objects of each sort.
const OBJECTS: u64 = 6;
/// How long there is trouble: the times of all that expires are in it.
const TROUBLE: Duration = Duration::from_secs(90);
/// Looks at the listing, and the time between two: an hour of the simulation's.
const LOOKS: u32 = 360;
const LOOK: Duration = Duration::from_secs(10);

/// What was wrong in the end; nothing is good.
pub fn run_expiry(seed: u64, rings: &RingFiles) -> Vec<String> {
    let sim = Sim::new(seed, super::world(&super::RunOptions::default()));
    let complaints = Rc::new(RefCell::new(Vec::new()));
    let (handle, rings, said) = (sim.handle(), rings.clone(), Rc::clone(&complaints));
    sim.run(async move {
        if let Err(complaint) = scenario(handle, &rings).await {
            said.borrow_mut().push(complaint);
        }
    });
    let mut complaints = complaints.take();
    complaints.extend(sim.panics().into_iter().map(|panic| format!("a task panicked: {panic}")));
    complaints
}

async fn scenario(sim: SimHandle, rings: &RingFiles) -> Result<(), String> {
    sim.set_faults(false);
    let cluster = Rc::new(Cluster::set_up(sim.clone(), rings, false).await);
    super::workload::create_containers(cluster.proxy()).await.map_err(|error| error.to_string())?;
    let mut client = Client::new(cluster.proxy());
    let mut kept = Vec::new();
    for number in 0..OBJECTS {
        let soon = sim.random(|random| random.between(5, TROUBLE.as_secs())).to_string();
        put(&mut client, &format!("gone-{number}"), Some(&soon)).await?;
        put(&mut client, &format!("renewed-{number}"), Some(&soon)).await?;
        put(&mut client, &format!("renewed-{number}"), None).await?;
        put(&mut client, &format!("kept-{number}"), None).await?;
        put(&mut client, &format!("later-{number}"), Some("1000000")).await?;
        kept.extend(["renewed", "kept", "later"].map(|sort| format!("{sort}-{number}")));
    }
    kept.sort_unstable();

    sim.set_faults(true);
    let is_over = Rc::new(Cell::new(false));
    let nemesis = spawn(nemesis::torment(sim.clone(), Rc::clone(&cluster), Rc::clone(&is_over)));
    sleep(TROUBLE).await;
    is_over.set(true);
    nemesis.await;
    sleep(RECOVERY).await;

    let mut listed = String::new();
    for _ in 0..LOOKS {
        listed = ask(&mut client, Method::Get, "/c0", &[]).await.map(|(_, body)| body).unwrap_or_default();
        if listed.lines().eq(&kept) {
            break;
        }
        sleep(LOOK).await;
    }
    if !listed.lines().eq(&kept) {
        return Err(format!("listed are {listed:?}"));
    }
    for name in kept {
        let (status, body) = ask(&mut client, Method::Get, &format!("/c0/{name}"), &[]).await?;
        if (status, body.as_str()) != (200, name.as_str()) {
            return Err(format!("{name} is answered {status}"));
        }
    }
    Ok(())
}

async fn put(client: &mut Client, name: &str, delete_after: Option<&str>) -> Result<(), String> {
    let fields: Vec<_> = delete_after.map(|seconds| ("X-Delete-After", seconds)).into_iter().collect();
    match ask(client, Method::Put, &format!("/c0/{name}"), &fields).await? {
        (201, _) => Ok(()),
        (status, _) => Err(format!("the PUT of {name} is answered {status}")),
    }
}

async fn ask(
    client: &mut Client,
    method: Method,
    path: &str,
    fields: &[(&str, &str)],
) -> Result<(u16, String), String> {
    let name = path.rsplit('/').next().unwrap_or_default().to_owned();
    let body = if method == Method::Put { Bytes::from(name) } else { Bytes::new() };
    let answer = client.request(method, path, fields, body).await.map_err(|error| error.to_string())?;
    Ok((answer.status, String::from_utf8_lossy(&answer.body).into_owned()))
}
