//! Rounds in which contenders take turns at the same workloads.

use super::Bench;
use crate::cluster::Cluster;
use crate::store_bench::node::Node;
use base::io::real;
use bench::load::Keys;
use bench::measure::{Outcome, Plan};
use bench::processes::Server;
use bench::workload::Workload;

/// Who is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Who {
    /// A cluster of ours: a proxy and a storage node of two cores each.
    Martlet,
    /// The same with one core each.
    OneCore,
    /// A storage node of ours without a proxy, of one core.
    Objectd,
    /// The Python Swift.
    Swift,
    /// nginx with static files.
    Nginx,
    /// Garage, through its S3 service.
    Garage,
}

/// One workload at one of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Setting {
    pub(super) who: Who,
    pub(super) workload: &'static str,
    pub(super) connections: u16,
}

/// What was measured of each setting, in the order of the rounds.
pub(super) struct Rounds(Vec<(Setting, Vec<Outcome>)>);

/// The contenders of ours that this run needs.
#[derive(Default)]
struct Ours {
    martlet: Option<Cluster>,
    one_core: Option<Cluster>,
    objectd: Option<Node>,
}

impl Who {
    /// Whether it can be measured in this run.
    pub(super) fn is_there(self, bench: &Bench) -> bool {
        match self {
            Who::Martlet | Who::OneCore | Who::Objectd => true,
            Who::Swift => bench.swift.is_some(),
            Who::Nginx => bench.nginx.is_some(),
            Who::Garage => bench.garage.is_some(),
        }
    }
}

impl Rounds {
    /// Starts what is needed, gives everyone what it is asked for, and goes round.
    pub(super) fn run(bench: &Bench, settings: &[Setting]) -> Result<Rounds, String> {
        let ours = Ours::start(bench, settings)?;
        let mut rounds = Rounds(Vec::new());
        let mut plans = Vec::new();
        for &setting in settings {
            let plan = ours.plan(bench, setting)?;
            let workload = Workload::parse(setting.workload)?;
            on_a_core(plan.prepare(&workload))?;
            plans.push((plan, workload));
            rounds.0.push((setting, Vec::new()));
        }
        for round in 1..=bench.rounds {
            eprintln!("  round {round} of {} …", bench.rounds);
            for ((setting, outcomes), (plan, workload)) in rounds.0.iter_mut().zip(&plans) {
                let outcome = on_a_core(plan.measure(workload)).map_err(|error| format!("{setting:?}: {error}"))?;
                let seen = outcome.seen.clone().without_failures();
                seen.map_err(|error| format!("{setting:?}: {error}"))?;
                outcomes.push(outcome);
            }
        }
        Ok(rounds)
    }

    /// The outcomes of a setting; none when it was not measured.
    pub(super) fn of(&self, setting: Setting) -> &[Outcome] {
        let found = self.0.iter().find(|(measured, _)| *measured == setting);
        found.map_or(&[], |(_, outcomes)| outcomes.as_slice())
    }
}

impl Ours {
    fn start(bench: &Bench, settings: &[Setting]) -> Result<Ours, String> {
        let is_asked = |who| settings.iter().any(|setting| setting.who == who);
        let mut ours = Ours::default();
        if is_asked(Who::Martlet) {
            ours.martlet = Some(bench.cluster("2")?);
        }
        if is_asked(Who::OneCore) {
            ours.one_core = Some(bench.cluster("1")?);
        }
        if is_asked(Who::Objectd) {
            ours.objectd = Some(Node::create(&bench.dir.join("objectd"), &[])?);
        }
        Ok(ours)
    }

    fn plan(&self, bench: &Bench, setting: Setting) -> Result<Plan, String> {
        let of_cluster = |cluster: &Cluster| (cluster.target().clone(), cluster.servers().to_vec());
        let of_node = |node: &Node| (node.target(), vec![Server::of(node.pid())]);
        let of_peer = |peer: &super::Peer| (peer.target.clone(), peer.servers.clone());
        let found = match setting.who {
            Who::Martlet => self.martlet.as_ref().map(of_cluster),
            Who::OneCore => self.one_core.as_ref().map(of_cluster),
            Who::Objectd => self.objectd.as_ref().map(of_node),
            Who::Swift => bench.swift.as_ref().map(of_peer),
            Who::Nginx => bench.nginx.as_ref().map(of_peer),
            Who::Garage => bench.garage.as_ref().map(of_peer),
        };
        let (target, servers) = found.ok_or_else(|| format!("{:?} is not there", setting.who))?;
        Ok(Plan {
            target,
            servers,
            // What is counted is a GET of ours; it costs a second run.
            means: bench.means.filter(|_| setting.who == Who::Martlet && setting.connections == 64),
            connections: setting.connections,
            requests: Some(requests(bench, setting)),
            objects: None,
            keys: Keys::Uniform,
            rate: None,
            is_shown: true,
        })
    }
}

/// Half a second to a second of work for each: the Python Swift needs milliseconds for what takes others microseconds.
fn requests(bench: &Bench, setting: Setting) -> u64 {
    let full = match (setting.who, setting.workload) {
        (Who::Swift, "get-100m") => 2,
        (Who::Swift, "list-10000") => 4,
        (Who::Swift, "get-1m" | "list-100") => 80,
        (Who::Swift, "put-1m") => 30,
        (Who::Swift, "put-4k" | "delete-4k") => 60,
        (Who::Swift, _) => 150,
        (Who::Garage, "get-1m" | "put-1m" | "list-100" | "put-4k" | "delete-4k") => 200,
        (Who::Garage, _) => 1000,
        (_, "get-100m") => 8,
        (_, "list-10000") => 200,
        (_, "get-1m") => 800,
        (_, "put-1m") => 160,
        (_, "list-100") => 6000,
        (_, "get-64k") => 6000,
        (_, "put-4k" | "delete-4k") => 3000,
        (_, _) if setting.connections == 1 => 4000,
        (_, _) => 20_000,
    };
    bench.amount(full, u64::from(setting.connections.min(8)))
}

pub(super) fn on_a_core<T>(work: impl Future<Output = Result<T, String>>) -> Result<T, String> {
    real::run(real::CoreOptions::default(), || work).map_err(|error| error.to_string())?
}
