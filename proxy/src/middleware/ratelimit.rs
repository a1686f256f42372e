//! ratelimit: who asks faster than he may waits, and who would have to wait too long is told 498.
//!
//! Limited are, each by a rate of its own: PUT and DELETE of an account's containers; writes of a container's objects and its
//! listings, by curves over the number of its objects; all writes of an account, where its
//! `X-Account-Sysmeta-Global-Write-Ratelimit` holds a rate. The same field may hold `WHITELIST` or `BLACKLIST` (497).
//!
//! Where there is memcached, all cores and proxies count there, with Swift's keys and units. Without it, and while it does not answer, every
//! core counts for itself and allows its share, the rate divided by the number of cores: no rate is ever exceeded, and a client that
//! stays on one connection gets the share of one core. (Swift limits nobody while memcached is away.)

mod counters;
mod rate;

use crate::config::Config;
use crate::facts::memcached::Memcached;
use crate::pipeline::Application;
use crate::request::ClientRequest;
use crate::respond;
use base::http::server::Response;
use base::http::{Headers, Method, Status};
use base::io::{self, Job};
use base::names::Path;
pub use counters::RunningTimes;
use counters::{CommonTimes, OwnTimes};
pub use rate::Curve;
use rate::{Pace, Verdict};
use std::rc::Rc;
use std::time::Duration;

/// Says that an account is limited, or never, or shut out.
const GLOBAL: &str = "X-Account-Sysmeta-Global-Write-Ratelimit";
/// How long somebody who is shut out waits for that answer.
const BLACKLIST_SLEEP: Duration = Duration::from_secs(1);

/// Settings of the member.
#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    /// PUT and DELETE of containers, a second and account; 0: as many as come.
    pub account_ratelimit: f64,
    /// Who would have to wait longer is refused.
    pub max_sleep_time: Duration,
    /// Longer waits are logged; 0: none is.
    pub log_sleep_time: Duration,
    /// Parts of a second in which times are counted.
    pub clock_accuracy: u64,
    /// How far behind a rate may lag and catch up faster than allowed.
    pub rate_buffer: Duration,
    /// Accounts without limits.
    pub account_whitelist: Vec<String>,
    /// Accounts that are shut out.
    pub account_blacklist: Vec<String>,
    /// Writes of objects.
    pub container_ratelimits: Curve,
    /// Listings of containers.
    pub container_listing_ratelimits: Curve,
}

impl Settings {
    /// For `/info`; the lists and the buffer are nobody's business.
    pub fn document(&self) -> serde_json::Value {
        serde_json::json!({
            "account_ratelimit": self.account_ratelimit,
            "max_sleep_time_seconds": self.max_sleep_time.as_secs_f64(),
            "container_ratelimits": self.container_ratelimits.points(),
            "container_listing_ratelimits": self.container_listing_ratelimits.points(),
        })
    }

    fn pace(&self, rate: f64) -> Pace {
        Pace { rate, accuracy: self.clock_accuracy, buffer: self.rate_buffer, sleep_max: self.max_sleep_time }
    }
}

/// The layer. One per core.
pub struct Ratelimit {
    limiter: Rc<Limiter>,
    next: Rc<dyn Application>,
}

impl Ratelimit {
    /// Around `next`; `innermost` knows accounts and containers, `common` is where all count, should there be such a place.
    pub fn new(
        config: Rc<Config>,
        next: Rc<dyn Application>,
        innermost: Rc<dyn Application>,
        common: Option<Memcached>,
    ) -> Self {
        let own: Rc<dyn RunningTimes> = Rc::new(OwnTimes::new(config.cores));
        let common = common.map(|common| Rc::new(CommonTimes(common)) as Rc<dyn RunningTimes>);
        let times = common.into_iter().chain([own]).collect();
        Self { limiter: Rc::new(Limiter { config, times, innermost }), next }
    }
}

impl Application for Ratelimit {
    fn call(&self, request: ClientRequest) -> Job<Response> {
        let (limiter, next) = (Rc::clone(&self.limiter), Rc::clone(&self.next));
        Job::new(async move {
            match limiter.wait(&request).await {
                Ok(()) => next.call(request).await,
                Err(refused) => *refused,
            }
        })
    }
}

struct Limiter {
    config: Rc<Config>,
    /// The first that answers counts.
    times: Vec<Rc<dyn RunningTimes>>,
    innermost: Rc<dyn Application>,
}

/// What is counted, by Swift's name, and how often a second it may be.
type Limit = (String, f64);

impl Limiter {
    /// Waits as long as the request has to; the error is the answer to one that may not be made.
    async fn wait(&self, request: &ClientRequest) -> Result<(), Box<Response>> {
        let settings = &self.config.ratelimit;
        let account = request.path.account.as_str();
        let is_in = |list: &[String]| list.iter().any(|listed| listed == account);
        let fields = self.innermost.account_headers(request).await;
        let global = fields.get_str(GLOBAL).unwrap_or_default();
        if is_in(&settings.account_whitelist) || global == "WHITELIST" {
            return Ok(());
        }
        if is_in(&settings.account_blacklist) || global == "BLACKLIST" {
            tracing::error!(target: "proxy", account, "497: the account is shut out");
            io::sleep(BLACKLIST_SLEEP).await;
            return Err(Box::new(respond::told(Status(497), "Your account has been blacklisted")));
        }
        for (key, rate) in self.limits(request, global).await {
            let sleep = self.sleep_time(&key, rate).await.map_err(|sleep| {
                let (method, path) = (request.method.as_str(), request.path.plain());
                tracing::error!(target: "proxy", method, path, ?sleep, "498: it would have to wait too long");
                Box::new(respond::told(Status(498), "Slow down"))
            })?;
            if !settings.log_sleep_time.is_zero() && sleep > settings.log_sleep_time {
                tracing::warn!(target: "proxy", path = request.path.plain(), ?sleep, "limited");
            }
            if !sleep.is_zero() {
                io::sleep(sleep).await;
            }
        }
        Ok(())
    }

    /// What this request counts towards, in the order in which it waits.
    async fn limits(&self, request: &ClientRequest, global: &str) -> Vec<Limit> {
        let settings = &self.config.ratelimit;
        let Path { account, container, object } = &request.path;
        let writes = matches!(request.method, Method::Put | Method::Delete | Method::Post | Method::Copy);
        let mut limits = Vec::new();
        match (container, object) {
            (Some(_), None) if matches!(request.method, Method::Put | Method::Delete) => {
                limits.push((format!("ratelimit/{account}"), settings.account_ratelimit));
            }
            (Some(container), Some(_)) if writes => {
                let rate = self.of_container(&settings.container_ratelimits, request).await;
                limits.push((format!("ratelimit/{account}/{container}"), rate));
            }
            (Some(container), None) if request.method == Method::Get => {
                let rate = self.of_container(&settings.container_listing_ratelimits, request).await;
                limits.push((format!("ratelimit_listing/{account}/{container}"), rate));
            }
            _ => {}
        }
        if writes {
            let rate = global.trim().parse().unwrap_or(0.0);
            limits.push((format!("ratelimit/global-write/{account}"), rate));
        }
        limits.retain(|(_, rate)| rate.is_finite() && *rate > 0.0);
        limits
    }

    /// The rate for a container as full as this one.
    async fn of_container(&self, curve: &Curve, request: &ClientRequest) -> f64 {
        if curve.is_empty() {
            return 0.0;
        }
        let fields = self.innermost.container_headers(request).await;
        curve.at(objects(&fields)).unwrap_or(0.0)
    }

    /// How long to wait, or how long it would have been.
    async fn sleep_time(&self, key: &str, rate: f64) -> Result<Duration, Duration> {
        for times in &self.times {
            let pace = self.config.ratelimit.pace(rate / f64::from(times.shares()));
            let each = pace.each();
            let Some(running) = times.add(key, each).await else { continue };
            let now = pace.units(io::unix_time());
            match pace.judge(now, running) {
                Verdict::Sleep(sleep) => return Ok(sleep),
                Verdict::Restart(running) => {
                    times.set(key, running).await;
                    return Ok(Duration::ZERO);
                }
                Verdict::Refuse(sleep) => {
                    // As if it had not been counted.
                    times.subtract(key, each).await;
                    return Err(sleep);
                }
            }
        }
        // Nobody counts: nobody is limited.
        Ok(Duration::ZERO)
    }
}

fn objects(container: &Headers) -> u64 {
    container.get_str("X-Container-Object-Count").and_then(|text| text.trim().parse().ok()).unwrap_or(0)
}

#[cfg(test)]
mod tests;
