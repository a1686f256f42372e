//! The listener of one core: from accepted connection to `pipeline`.

use crate::config::Config;
use crate::core::Core;
use crate::facts::news::Letters;
use crate::pipeline::Pipeline;
use crate::{expirer, metrics, respond};
use base::http::Status;
use base::http::server::{Drain, Handler, Request, Response, ServerLimits, accept_loop};
use base::io::{Job, Listener};
use std::io;
use std::rc::Rc;

/// Most bytes of all fields of one request. Swift bounds their number and each one's length, which multiplies to far more than
/// any client needs and far more than an idle connection may cost.
const MAX_HEADER_BLOCK: usize = 128 * 1024;

/// Runs one core of the proxy until drained: loads rings, binds with SO_REUSEPORT, serves.
/// `letters` are the boxes of all cores.
pub async fn run_core(config: Rc<Config>, core_number: usize, letters: Letters, drain: Drain) -> io::Result<()> {
    if core_number == 0 {
        for notice in &config.notices {
            tracing::warn!(target: "proxy", "{notice}");
        }
    }
    // Rings first: a core that cannot place anything must not accept a connection.
    let core = Core::open(Rc::clone(&config), core_number, letters).await?;
    let listener = Listener::bind(config.bind, true)?;
    tracing::info!(target: "proxy", core = core_number, address = %listener.local_address(), "serving");
    if let Some(address) = config.metrics_bind.filter(|_| core_number == 0) {
        metrics::serve(Rc::clone(&core), address, drain.clone()).await?;
    }
    if let Some(settings) = config.expirer.clone().filter(|_| core_number == 0) {
        base::io::spawn(expirer::run(Rc::clone(&core), Rc::new(settings)));
    }
    let handler = Rc::new(Front { pipeline: Pipeline::new(core) });
    accept_loop(listener, Rc::new(limits(&config)), config.max_clients, handler, drain).await;
    Ok(())
}

/// What answers the requests of this core's connections.
struct Front {
    pipeline: Pipeline,
}

impl Handler for Front {
    fn handle(self: Rc<Self>, mut request: Request) -> Job<Response> {
        Job::new(async move { self.pipeline.answer(&mut request).await })
    }

    fn refuse(&self, status: Status, reason: &str) -> Response {
        // Nothing of the request is repeated: it could not even be read.
        if status == Status(405) {
            return respond::not_allowed("PUT, DELETE, OPTIONS, GET, POST, HEAD");
        }
        if reason.is_empty() { respond::standard(status) } else { respond::explained(status, reason) }
    }
}

fn limits(config: &Config) -> ServerLimits {
    let constraints = &config.constraints;
    ServerLimits {
        client_timeout: config.client_timeout,
        keepalive_timeout: config.keepalive_timeout,
        // Lines count with their ends, and one that is as long as the limit is too long, as Swift's server has it.
        max_request_line: constraints.max_request_line.saturating_sub(1),
        max_header_line: constraints.max_header_size.saturating_sub(1),
        max_header_block: MAX_HEADER_BLOCK,
        // Some more than are allowed as metadata, so that too much of that is told with a sentence.
        max_headers: constraints.max_header_count() * 8 / 5,
        has_proxy_line: config.require_proxy_protocol,
    }
}
