//! The listeners of one core and the way from a request to its service.
//!
//! A core listens on three ports and the port says which service is meant: the backend paths overlap (the PUT of a row looks
//! like the PUT of a container). A core runs until its `Drain` starts: then the listeners close, exchanges under way end, and
//! what was acknowledged is brought to its end.

use crate::config::Config;
use crate::neighbours::{self, Letters};
use crate::node::Node;
use crate::store::packed::maintain;
use crate::{account, container, object, reply};
use base::http::server::{Drain, Handler, Request, Response, ServerLimits, accept_loop};
use base::http::{Method, Status};
use base::io::{self, Job, Listener};
use base::recon;
use std::io::{Error, ErrorKind};
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

/// Longest wait for exchanges and commits under way when a core is drained.
const DRAIN_DEADLINE: Duration = Duration::from_secs(30);

/// How long a taken port is asked for again, and how often: 1 of 200 restarts after kill -9 found its port taken without.
const TAKEN_PORT_PATIENCE: Duration = Duration::from_secs(3);
const TAKEN_PORT_PAUSE: Duration = Duration::from_millis(20);

/// Runs one core of the node until drained: opens its devices, binds its three ports, starts its background loops.
pub async fn run_core(config: Rc<Config>, core: usize, drain: Drain) -> std::io::Result<()> {
    run_core_beside(config, core, Letters::new(1), drain).await
}

/// The same for one of several cores of a process, which can be reached by these letters.
pub async fn run_core_beside(config: Rc<Config>, core: usize, letters: Letters, drain: Drain) -> std::io::Result<()> {
    let Some(ports) = config.cores.get(core).copied() else {
        return Err(Error::other(format!("objectd.conf lists {} cores, there is no core {core}", config.cores.len())));
    };
    let inbox = letters.open(core);
    let node = Node::open_beside(config.clone(), core, letters).await?;
    let limits = Rc::new(limits(&config));
    let services =
        [(Service::Object, ports.object), (Service::Container, ports.container), (Service::Account, ports.account)];
    let mut listeners = Vec::with_capacity(services.len());
    for (service, port) in services {
        let address = SocketAddr::new(config.bind_ip, port);
        let listener = bind(|| Listener::bind(address, false)).await.map_err(|error| {
            Error::new(error.kind(), format!("{address}: cannot listen for the {} service: {error}", service.name()))
        })?;
        // Once the port is ours, and at once: who comes between the two keeps his connection by TCP.
        let near = Listener::bind_near(address);
        listeners.push((service, listener, near));
    }
    let mut accepting = Vec::with_capacity(2 * services.len());
    for (service, listener, near) in listeners {
        let port = Rc::new(Port { node: node.clone(), service });
        let address = listener.local_address();
        accepting.push(io::spawn(serve_near(near, address, limits.clone(), port.clone(), drain.clone())));
        accepting.push(io::spawn(accept_loop(listener, limits.clone(), config.max_clients, port, drain.clone())));
    }
    io::spawn(neighbours::listen(node.clone(), inbox));
    io::spawn(node.clone().watch());
    io::spawn(object::updater(node.clone()));
    io::spawn(container::updater(node.clone()));
    io::spawn(account::updater(node.clone()));
    io::spawn(maintain::run(node.clone(), drain.clone()));
    tracing::info!(core, object = ports.object, container = ports.container, account = ports.account, "serving");
    for loop_of_port in accepting {
        loop_of_port.await;
    }
    if !drain.finished(DRAIN_DEADLINE).await {
        tracing::warn!(core, "connections were cut at the end of the drain");
    }
    if !node.settled(DRAIN_DEADLINE).await {
        tracing::warn!(core, "background writes were cut at the end of the drain");
    }
    if io::timeout(DRAIN_DEADLINE, container::finish(&node)).await.is_err() {
        tracing::warn!(
            core,
            "rows stay in the journal at the end of the drain; the next start moves them into the database"
        );
    }
    if io::timeout(DRAIN_DEADLINE, maintain::finish(&node)).await.is_err() {
        tracing::warn!(core, "the last checkpoint was cut at the end of the drain");
    }
    Ok(())
}

/// Binds a port. One that is taken is asked for again for a while: the kernel lets go of the sockets of a killed process's ring
/// only some time after the process has gone, and who restarts a killed daemon should not have to know.
async fn bind(listen: impl Fn() -> std::io::Result<Listener>) -> std::io::Result<Listener> {
    let asked = io::monotonic();
    loop {
        match listen() {
            Err(error)
                if error.kind() == ErrorKind::AddrInUse && io::monotonic().since(asked) < TAKEN_PORT_PATIENCE =>
            {
                io::sleep(TAKEN_PORT_PAUSE).await;
            }
            bound => return bound,
        }
    }
}

/// The same service by the machine's own way. Daemons of this machine prefer it and need it not: where it is not to be had, they take the port.
async fn serve_near(
    bound: std::io::Result<Listener>,
    address: SocketAddr,
    limits: Rc<ServerLimits>,
    port: Rc<Port>,
    drain: Drain,
) {
    let bound = match bound {
        Err(error) if error.kind() == ErrorKind::AddrInUse => bind(|| Listener::bind_near(address)).await,
        bound => bound,
    };
    match bound {
        Ok(listener) => accept_loop(listener, limits, port.node.config.max_clients, port, drain).await,
        // The simulator has no such way.
        Err(error) if error.kind() == ErrorKind::Unsupported => {}
        Err(error) => {
            tracing::warn!(%address, %error, "no unix socket beside this port: daemons of this machine use TCP")
        }
    }
}

/// Swift's limits of a backend request (specs: object server §1), the same for all three kinds.
fn limits(config: &Config) -> ServerLimits {
    ServerLimits {
        client_timeout: config.client_timeout,
        keepalive_timeout: config.keepalive_timeout,
        max_request_line: 8192,
        max_header_line: 8191,
        max_header_block: 64 * 1024,
        max_headers: config.constraints.max_header_count() * 8 / 5,
        has_proxy_line: false,
    }
}

/// Which of the three services.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Service {
    Object,
    Container,
    Account,
}

impl Service {
    fn name(self) -> &'static str {
        match self {
            Service::Object => "object",
            Service::Container => "container",
            Service::Account => "account",
        }
    }

    fn methods(self) -> &'static str {
        match self {
            Service::Object => "DELETE, GET, HEAD, OPTIONS, POST, PUT, REPLICATE, SSYNC",
            Service::Container => "DELETE, GET, HEAD, OPTIONS, POST, PUT, REPLICATE, UPDATE",
            Service::Account => "DELETE, GET, HEAD, OPTIONS, POST, PUT, REPLICATE",
        }
    }
}

/// One listening port of this core.
struct Port {
    node: Rc<Node>,
    service: Service,
}

impl Handler for Port {
    fn handle(self: Rc<Self>, request: Request) -> Job<Response> {
        Job::new(async move {
            let (node, service) = (self.node.clone(), self.service);
            match request.head.method {
                Method::Options => reply::options(&format!("{}-server", service.name()), service.methods()),
                Method::Get | Method::Head if request.head.path() == b"/healthcheck" => reply::text(200, "OK"),
                _ if recon::is_asked(request.head.path()) => {
                    Box::pin(node.config.recon().answer(request.head.path())).await
                }
                _ => match service {
                    Service::Object => object::handle(node, request).await,
                    Service::Container => Box::pin(container::handle(node, request)).await,
                    Service::Account => Box::pin(account::handle(node, request)).await,
                },
            }
        })
    }

    fn refuse(&self, status: Status, reason: &str) -> Response {
        if reason.is_empty() { reply::status(status.0) } else { reply::text(status.0, reason.to_owned()) }
    }
}
