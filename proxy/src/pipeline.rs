//! The order of the middleware, a reason per line, and the way of a request through it.
//!
//! | member | why it stands here |
//! |---|---|
//! | catch_errors | first, so that every answer has a transaction id and every failure becomes an answer |
//! | gatekeeper | before anyone could believe a field that only backends may send |
//! | healthcheck | before the log: a balancer asks every second |
//! | recon | the same: a monitor asks every minute |
//! | proxy-logging | before everything a client can be refused by |
//! | cname_lookup | before domain_remap, which finds account and container in the name that is found |
//! | domain_remap | before anything looks at the path |
//! | name_check | behind domain_remap, so that names in host names are judged as well; before anything is done about one |
//! | list-endpoints | before tokens: programs beside the disks ask without one |
//! | container_sync | before tokens: another cluster has a right of its own |
//! | tempurl | before tokens: a signature is a right of its own, and an invalid one is refused whoever comes |
//! | crossdomain | before tokens: a player asks without one |
//! | read_only | behind tempurl, whose refusals come first; before rights, which do not matter where nobody may write |
//! | formpost | before tokens: a form's signature is a right of its own; its files go through all that follows, one by one |
//! | tempauth, or authtoken and keystoneauth: tokens | before anything is done for someone who lies about who he is |
//! | etag-quoter | outside everything that compares ETags: they are bare inside |
//! | bulk | outside everything that one object passes through: it sends many |
//! | ratelimit | inside bulk, each of whose requests counts; outside copy and large objects, whose parts are one request; behind tokens, so that nobody uses up another's rate with a wrong one |
//! | cors: preflights | before authorization: a browser's preflight carries no token |
//! | listing_formats | outside whatever reads listings itself, which wants JSON |
//! | staticweb | inside authorization by token, outside whatever makes an object; its pages are no listings of the API |
//! | copy | outside dlo, so that a copied manifest brings its content |
//! | container-quotas, account-quotas | behind copy, where a copy has its true length |
//! | slo | behind the quotas, which bound the manifest as it is sent; its segments may be dynamic large objects |
//! | dlo | outside symlink: its segments may be links |
//! | versioned_writes | inside dlo and slo, like object_versioning, whose containers it leaves alone |
//! | object_versioning | outside symlink, which reads through the links it makes; inside dlo and slo, so that versions of manifests are kept as such |
//! | symlink | inside all others: whatever reads an object may meet a link |
//! | the second proxy-logging | next to the application: every request of middleware comes through, as it was made |
//! | cors: origins | the application's own answers say who may see them; what middleware makes of them keeps that |
//!
//! The first part works on the raw request, because `/healthcheck`, `/info` and `/auth` are not Swift paths. The rest are
//! layers: each is an `Application` around another, and requests that are not its business pass without a detour.

use crate::app;
use crate::config::{Config, Member};
use crate::container::listing::ALLOW_RESERVED_NAMES;
use crate::core::Core;
use crate::facts::memcached::Memcached;
use crate::facts::{Info, account_info, container_info, known_container_info};
use crate::middleware::account_quotas::AccountQuotas;
use crate::middleware::authtoken::{self, Authtoken};
use crate::middleware::bulk::Bulk;
use crate::middleware::catch_errors::{self, CatchPanic};
use crate::middleware::cname_lookup::CnameLookup;
use crate::middleware::container_quotas::ContainerQuotas;
use crate::middleware::container_sync::{self, ContainerSync};
use crate::middleware::copy::Copy;
use crate::middleware::cors::{Origins, Preflights};
use crate::middleware::dlo::Dlo;
use crate::middleware::etag_quoter::EtagQuoter;
use crate::middleware::list_endpoints::{self, Places};
use crate::middleware::listing_formats::ListingFormats;
use crate::middleware::object_versioning::ObjectVersioning;
use crate::middleware::proxy_logging::{self, statsd::Statsd, subrequests::Subrequests};
use crate::middleware::ratelimit::Ratelimit;
use crate::middleware::slo::Slo;
use crate::middleware::staticweb::StaticWeb;
use crate::middleware::symlink::Symlink;
use crate::middleware::tempauth::Tokens;
use crate::middleware::versioned_writes::VersionedWrites;
use crate::middleware::{
    crossdomain, domain_remap, formpost, gatekeeper, healthcheck, info, keystoneauth, name_check, read_only, tempauth,
    tempurl,
};
use crate::request::{Authority, ClientRequest, Identity, RequestParts};
use crate::respond;
use base::http::server::{LocalFuture, Request, RequestBody, Response};
use base::http::{Headers, Method, RequestHead, Status, head};
use base::io::{self, Job};
use base::names::{InvalidPath, Name, Path};
use base::quote::{Query, unquote, unquoted};
use base::recon;
use base::timestamp::Timestamp;
use bytes::Bytes;
use std::ops::Deref;
use std::pin::pin;
use std::rc::Rc;
use std::time::Duration;

/// What answers a request for `/v1/…`: the proxy application, or a layer around it.
pub trait Application: 'static {
    /// Answers one request.
    fn call(&self, request: ClientRequest) -> Job<Response>;

    /// Whom a layer next to the application leaves the questions below to.
    fn knower(&self) -> Option<&dyn Application> {
        None
    }

    /// The fields of the request's account, whoever asks (nothing of them goes to the caller as it is).
    fn account_headers(&self, request: &ClientRequest) -> LocalFuture<'static, Fields> {
        if let Some(knower) = self.knower() {
            return knower.account_headers(request);
        }
        let account = Path { container: None, object: None, ..request.path.clone() };
        let mut head = request.subrequest(Method::Head, account);
        head.authority = Authority::Granted;
        let answer = self.call(head);
        Box::pin(async move { answer.await.head.headers.into() })
    }

    /// The fields of the request's container, whoever asks (nothing of them goes to the caller as it is).
    fn container_headers(&self, request: &ClientRequest) -> LocalFuture<'static, Fields> {
        if let Some(knower) = self.knower() {
            return knower.container_headers(request);
        }
        let mut head = request.subrequest(Method::Head, Path { object: None, ..request.path.clone() });
        head.authority = Authority::Granted;
        let answer = self.call(head);
        Box::pin(async move { answer.await.head.headers.into() })
    }

    /// The same if it need not be waited for; `None` says nothing.
    fn known_container(&self, request: &ClientRequest) -> Option<Fields> {
        self.knower()?.known_container(request)
    }

    /// Where a name lives; only the application knows.
    fn places(&self, path: &Path, trans_id: &str) -> LocalFuture<'static, Option<Places>> {
        match self.knower() {
            Some(knower) => knower.places(path, trans_id),
            None => Box::pin(std::future::ready(None)),
        }
    }
}

/// Fields of an account or a container; those that are known are shared with everybody who asks.
pub enum Fields {
    /// Of this core's facts.
    Known(Rc<Info>),
    /// Of an answer made for this request.
    Own(Headers),
}

impl From<Headers> for Fields {
    fn from(headers: Headers) -> Fields {
        Fields::Own(headers)
    }
}

impl Deref for Fields {
    type Target = Headers;

    fn deref(&self) -> &Headers {
        match self {
            Fields::Known(info) => &info.headers,
            Fields::Own(headers) => headers,
        }
    }
}

/// The whole pipeline. One per core.
pub struct Pipeline {
    config: Rc<Config>,
    log: Rc<proxy_logging::Settings>,
    statsd: Option<Rc<Statsd>>,
    cname_lookup: CnameLookup,
    application: Rc<dyn Application>,
    layers: Rc<dyn Application>,
    sync: ContainerSync,
    authtoken: Option<Authtoken>,
    tokens: Rc<Tokens>,
}

struct App {
    core: Rc<Core>,
}

impl Application for App {
    fn call(&self, request: ClientRequest) -> Job<Response> {
        let core = Rc::clone(&self.core);
        Job::new(app::answer(core, request))
    }

    fn account_headers(&self, request: &ClientRequest) -> LocalFuture<'static, Fields> {
        let (core, account, trans_id) = (Rc::clone(&self.core), request.path.account.clone(), request.trans_id.clone());
        Box::pin(async move { Fields::Known(account_info(&core, &account, &trans_id).await) })
    }

    fn container_headers(&self, request: &ClientRequest) -> LocalFuture<'static, Fields> {
        let (core, path, trans_id) = (Rc::clone(&self.core), request.path.clone(), request.trans_id.clone());
        Box::pin(async move {
            let container = path.container.as_deref().unwrap_or_default();
            Fields::Known(container_info(&core, &path.account, container, &trans_id).await)
        })
    }

    fn known_container(&self, request: &ClientRequest) -> Option<Fields> {
        let container = request.path.container.as_deref()?;
        let known = known_container_info(&self.core, &request.path.account, container, &request.trans_id);
        known.map(Fields::Known)
    }

    fn places(&self, path: &Path, trans_id: &str) -> LocalFuture<'static, Option<Places>> {
        let (core, path, trans_id) = (Rc::clone(&self.core), path.clone(), trans_id.to_owned());
        Box::pin(async move {
            let Some(container) = path.container.as_deref().filter(|_| path.object.is_some()) else {
                let placement = core.backend.place(&core.config, &path);
                return Some(Places { partition: placement.partition, nodes: placement.primaries(), policy: None });
            };
            let policy = container_info(&core, &path.account, container, &trans_id).await.policy_index();
            let placement = core.backend.place_object(&core.config, &path, policy)?;
            Some(Places { partition: placement.partition, nodes: placement.primaries(), policy: Some(policy) })
        })
    }
}

impl Pipeline {
    /// Around the application of this core.
    pub fn new(core: Rc<Core>) -> Pipeline {
        let (config, common) = (Rc::clone(&core.config), Memcached::of(&core));
        Pipeline::with(config, Rc::new(App { core }), common)
    }

    /// Around any application (tests).
    pub fn around(config: Rc<Config>, application: Rc<dyn Application>) -> Pipeline {
        Pipeline::with(config, application, None)
    }

    fn with(config: Rc<Config>, mut application: Rc<dyn Application>, common: Option<Memcached>) -> Pipeline {
        application = Rc::new(Origins::new(Rc::clone(&config), application));
        if config.is_on(Member::SubrequestLogging) {
            application = Rc::new(Subrequests::new(Rc::new(config.subrequest_logging.clone()), application));
        }
        // From the inside out; the table above has the reasons.
        let mut linked = Rc::clone(&application);
        if config.is_on(Member::Symlink) {
            linked = Rc::new(Symlink::new(Rc::clone(&config), linked));
        }
        // Who knows the containers: with the bytes of their versions, for the quota.
        let mut counting = Rc::clone(&application);
        if config.is_on(Member::VersionedWrites) && config.allow_object_versioning {
            linked = Rc::new(ObjectVersioning::new(Rc::clone(&config), linked, Rc::clone(&application)));
            counting = Rc::clone(&linked);
        }
        if config.is_on(Member::VersionedWrites) {
            linked = Rc::new(VersionedWrites::new(Rc::clone(&config), linked, Rc::clone(&application)));
        }
        let dlo: Rc<dyn Application> = Rc::new(Dlo::new(Rc::clone(&config), linked));
        let mut bounded = dlo;
        if config.is_on(Member::Slo) {
            bounded = Rc::new(Slo::new(Rc::clone(&config), bounded, Rc::clone(&application)));
        }
        if config.is_on(Member::AccountQuotas) {
            bounded = Rc::new(AccountQuotas::new(Rc::clone(&config), bounded, Rc::clone(&application)));
        }
        if config.is_on(Member::ContainerQuotas) {
            bounded = Rc::new(ContainerQuotas::new(bounded, counting));
        }
        let copy: Rc<dyn Application> = Rc::new(Copy::new(Rc::clone(&config), bounded));
        let mut shown = copy;
        if config.is_on(Member::Staticweb) {
            shown = Rc::new(StaticWeb::new(Rc::clone(&config), shown, Rc::clone(&application)));
        }
        let listings: Rc<dyn Application> = Rc::new(ListingFormats::new(shown));
        let mut layers: Rc<dyn Application> =
            Rc::new(Preflights::new(Rc::clone(&config), listings, Rc::clone(&application)));
        if config.is_on(Member::Ratelimit) {
            layers = Rc::new(Ratelimit::new(Rc::clone(&config), layers, Rc::clone(&application), common.clone()));
        }
        if config.is_on(Member::Bulk) {
            layers = Rc::new(Bulk::new(config.bulk.clone(), layers));
        }
        if config.is_on(Member::EtagQuoter) {
            layers = Rc::new(EtagQuoter::new(config.etags_are_quoted, layers, application.clone()));
        }
        let log = Rc::new(config.proxy_logging.clone());
        let statsd = log.statsd.clone().map(Statsd::start);
        let cname_lookup = CnameLookup::new(config.cname_lookup.clone());
        let sync = ContainerSync::new(Rc::clone(&config));
        let authtoken = config.authtoken.as_ref().map(|settings| Authtoken::new(settings, common.clone()));
        let tokens = Tokens::new(Rc::clone(&config), common);
        Pipeline { config, log, statsd, cname_lookup, application, layers, sync, authtoken, tokens }
    }

    /// Answers one raw request. It is lent from future to future, until a request of the layers is made of it: each would keep it twice.
    pub async fn answer(&self, request: &mut Request) -> Response {
        let now = io::unix_time();
        let suffix = &self.config.trans_id_suffix;
        let trans_id = catch_errors::transaction_id(suffix, &request.head, now, io::random_u64(), io::random_u64());
        gatekeeper::clean_request(self.config.gatekeeper, &mut request.head.headers);
        let logged = self.answer_logged(request, &trans_id, now);
        let mut response = CatchPanic::new(pin!(logged)).await.unwrap_or_else(|| {
            tracing::error!(target: "proxy", %trans_id, "a request panicked");
            respond::standard(Status(500))
        });
        gatekeeper::clean_response(&mut response.head.headers);
        catch_errors::stamp(&mut response, &trans_id);
        response
    }

    async fn answer_logged(&self, request: &mut Request, trans_id: &Name, now: Duration) -> Response {
        if self.config.is_on(Member::Healthcheck) && request.head.path() == b"/healthcheck" {
            return Box::pin(healthcheck::answer(&self.config)).await;
        }
        if self.config.is_on(Member::Recon) && recon::is_asked(request.head.path()) {
            return Box::pin(self.config.recon.answer(request.head.path())).await;
        }
        let mut entry = self.config.is_on(Member::ProxyLogging).then(|| {
            proxy_logging::Entry::begin(&self.log, request, (request.peer.ip(), trans_id), now)
                .with_statsd(self.statsd.as_ref())
        });
        let response = self.answer_inner(request, (trans_id, now), &mut entry).await;
        match entry {
            Some(entry) => entry.end_with(response),
            None => response,
        }
    }

    /// Under the name and path that the host name stands for.
    async fn answer_inner(
        &self,
        request: &mut Request,
        (trans_id, now): (&Name, Duration),
        entry: &mut Option<proxy_logging::Entry>,
    ) -> Response {
        let mut named = None;
        if self.config.is_on(Member::CnameLookup) {
            named = match Box::pin(self.cname_lookup.rewrite(&mut request.head)).await {
                Ok(named) => named,
                Err(refused) => return *refused,
            };
        }
        let mut remapped = Ok(None);
        if self.config.is_on(Member::DomainRemap) {
            remapped = domain_remap::rewrite(&self.config.domain_remap, &mut request.head);
        }
        if let Some(entry) = entry
            && (named.is_some() || matches!(remapped, Ok(Some(_))))
        {
            entry.rewritten(&request.head);
        }
        let mut response = match remapped {
            Ok(None) => self.answer_path(request, trans_id, now).await,
            Ok(Some(rewritten)) => {
                let mut response = self.answer_path(request, trans_id, now).await;
                rewritten.finish(&mut response);
                response
            }
            Err(refused) => *refused,
        };
        if let Some(rewritten) = named {
            rewritten.finish(&mut response);
        }
        response
    }

    /// What is answered outside of `/v1/`, without a token.
    fn outside(&self, head: &RequestHead) -> Option<Outside> {
        let config = &self.config;
        if config.is_on(Member::NameCheck)
            && let Some(refused) = name_check::refuse(&config.name_check, head.path())
        {
            return Some(Outside::Refused(Box::new(refused)));
        }
        if config.is_on(Member::ListEndpoints)
            && let Some(rest) = list_endpoints::behind(&config.list_endpoints_path, head.path())
        {
            return Some(Outside::Endpoints(rest));
        }
        let is_policy = head.method == Method::Get && head.path() == b"/crossdomain.xml";
        (is_policy && config.is_on(Member::Crossdomain)).then_some(Outside::CrossDomainPolicy)
    }

    async fn answer_outside(&self, outside: Outside, head: &RequestHead, trans_id: &Name) -> Response {
        match outside {
            Outside::Refused(response) => *response,
            Outside::Endpoints(rest) => list_endpoints::answer(&self.application, head.method, &rest, trans_id).await,
            Outside::CrossDomainPolicy => crossdomain::answer(&self.config.cross_domain_policy),
        }
    }

    async fn answer_path(&self, request: &mut Request, trans_id: &Name, now: Duration) -> Response {
        if let Some(outside) = self.outside(&request.head) {
            return Box::pin(self.answer_outside(outside, &request.head, trans_id)).await;
        }
        // A preflight carries no right.
        let is_signed = self.config.is_on(Member::Tempurl)
            && request.head.method != Method::Options
            && tempurl::is_claimed(&Query::parse(request.head.query()));
        if self.config.is_on(Member::Formpost)
            && !is_signed
            && let Some(boundary) = formpost::boundary(request.head.method, &request.head.headers)
        {
            // Boxed: what is rare must not make the future of every request larger.
            return Box::pin(self.answer_form(request, trans_id, boundary)).await;
        }
        let is_synced = self.config.is_on(Member::ContainerSync) && container_sync::is_claimed(&request.head);
        let brings_right = is_signed || is_synced;
        let identity = match self.identify(request, brings_right).await {
            Ok(identity) => identity,
            Err(answer) => return *answer,
        };
        let mut response = self.answer_somebody(request, trans_id, identity, is_signed, now).await;
        // Not to a bad signature: a token would not make it better.
        if let Some(authtoken) = self.authtoken.as_ref().filter(|_| !brings_right) {
            authtoken.challenge(&mut response);
        }
        response
    }

    /// Who is asking. The error is an answer: tempauth's to those who want a token, or a refusal.
    async fn identify(&self, request: &mut Request, brings_right: bool) -> Result<Rc<Identity>, Box<Response>> {
        let config = &self.config;
        if let (Some(authtoken), Some(settings)) = (&self.authtoken, &config.keystoneauth) {
            authtoken::remove_identity(&mut request.head.headers);
            // A signature that counts needs nobody's word beside it.
            if brings_right && settings.allow_overrides && authtoken.delays() {
                return Ok(Rc::default());
            }
            let known = Box::pin(authtoken.identify(&request.head)).await?;
            return Ok(known.map(|known| Rc::new(keystoneauth::identity(settings, known))).unwrap_or_default());
        }
        if !config.is_on(Member::Tempauth) || (brings_right && config.tempauth_allows_overrides) {
            return Ok(Rc::default());
        }
        match tempauth::auth_path(config, request.head.path()) {
            Some(rest) => Err(Box::new(Box::pin(self.tokens.give(request, rest)).await)),
            None => self.tokens.identify(&request.head).await,
        }
    }

    async fn answer_somebody(
        &self,
        request: &mut Request,
        trans_id: &Name,
        identity: Rc<Identity>,
        is_signed: bool,
        now: Duration,
    ) -> Response {
        let ends_with_slash = request.head.path().ends_with(b"/");
        let path = match route(&self.config, &request.head.target, allows_reserved(&request.head.headers)) {
            Route::Swift(path) => path,
            Route::Info => return Box::pin(self.info(&request.head, now.as_secs())).await,
            Route::Refused(response) => return *response,
        };
        if is_denied(&self.config.deny_host_headers, &request.head.headers) {
            return respond::told(Status(403), "Invalid host header");
        }
        if let Some(refused) = refuse_method(request.head.method) {
            return refused;
        }
        let is_open = !self.config.is_on(Member::Tempauth) && !self.config.is_on(Member::Keystoneauth);
        let made = Box::new(RequestParts {
            method: request.head.method,
            path,
            query: Query::parse(request.head.query()),
            remote: request.peer.ip(),
            headers: std::mem::take(&mut request.head.headers),
            body: std::mem::replace(&mut request.body, RequestBody::full("")),
            trans_id: trans_id.clone(),
            identity,
            authority: if is_open { Authority::Granted } else { Authority::Ask },
            timestamp: Timestamp::from_unix(now),
            is_owner: is_open,
            refusal: None,
            ends_with_slash,
            source: None,
            parent: None,
            has_own_time: false,
            is_synced: false,
        });
        let mut response = self.answer_request(made, &request.head.target, is_signed).await;
        name_version(request.head.path(), &mut response.head.headers);
        response
    }

    /// With the right that the request brings itself, if it does.
    async fn answer_request(&self, mut request: ClientRequest, target: &[u8], is_signed: bool) -> Response {
        if self.config.is_on(Member::ContainerSync)
            && let Err(refused) = self.sync.check(&self.application, &mut request, &unquoted(head::path(target))).await
        {
            return *refused;
        }
        if !self.config.is_on(Member::Slo) {
            // Only its middleware makes a manifest of an object.
            request.headers.remove("X-Static-Large-Object");
        }
        if self.config.is_on(Member::Tempauth)
            && let Err(refused) = tempauth::clean_account_acl(&mut request)
        {
            return *refused;
        }
        if !is_signed {
            return self.pass_on(request).await;
        }
        match Box::pin(tempurl::grant(&self.config, &self.application, &mut request)).await {
            Ok(granted) => {
                let mut response = self.pass_on(request).await;
                granted.finish(&mut response);
                response
            }
            Err(refused) => *refused,
        }
    }

    /// A request with the rights it has.
    async fn pass_on(&self, mut request: ClientRequest) -> Response {
        // Only there when the operator lets clients choose the time of a write; a signature may still forbid it.
        if let Some(text) = request.headers.remove(gatekeeper::TIMESTAMP) {
            let text = String::from_utf8_lossy(&text);
            let Ok(time) = Timestamp::parse(&text) else {
                let sentence = format!("X-Timestamp should be a UNIX timestamp float value; was '{text}'");
                return respond::bad_request(sentence);
            };
            (request.timestamp, request.has_own_time) = (time, true);
        }
        match self.refuse_write(&request).await {
            Some(refused) => refused,
            None => self.layers.call(request).await,
        }
    }

    async fn refuse_write(&self, request: &ClientRequest) -> Option<Response> {
        if !self.config.is_on(Member::ReadOnly) {
            return None;
        }
        Box::pin(read_only::refuse(self.config.read_only, &self.application, request)).await
    }

    async fn info(&self, head: &RequestHead, now: u64) -> Response {
        let mut others = Vec::new();
        if self.config.is_on(Member::ContainerSync) && self.config.expose_info {
            others.push(("container_sync", self.sync.document().await));
        }
        info::answer(&self.config, head, others, now)
    }

    /// A form that brings files. Who sends it does not matter, only who signed it.
    async fn answer_form(&self, request: &mut Request, trans_id: &Name, boundary: String) -> Response {
        // Its signature is its right, where signatures are one.
        if let Err(refused) = self.identify(request, true).await {
            return *refused;
        }
        if is_denied(&self.config.deny_host_headers, &request.head.headers) {
            return respond::told(Status(403), "Invalid host header");
        }
        let path = match route(&self.config, &request.head.target, false) {
            Route::Swift(path) if path.container.is_some() => Some(path),
            _ => None,
        };
        let nowhere = Path { account: Name::default(), container: None, object: None };
        let submission = formpost::Submission {
            address: unquote(request.head.path()),
            boundary,
            request: Box::new(RequestParts {
                method: request.head.method,
                path: path.clone().unwrap_or(nowhere),
                query: Query::default(),
                remote: request.peer.ip(),
                headers: std::mem::take(&mut request.head.headers),
                body: std::mem::replace(&mut request.body, RequestBody::full("")),
                trans_id: trans_id.clone(),
                identity: Rc::default(),
                authority: Authority::Ask,
                timestamp: Timestamp::from_unix(io::unix_time()),
                is_owner: false,
                refusal: None,
                ends_with_slash: false,
                has_own_time: false,
                is_synced: false,
                source: None,
                parent: None,
            }),
            path,
        };
        if submission.path.is_some()
            && let Some(refused) = self.refuse_write(&submission.request).await
        {
            return refused;
        }
        formpost::answer(&self.config, &self.application, &self.layers, submission).await
    }
}

/// What is answered before anybody asks who it is.
enum Outside {
    /// A name that nobody may use.
    Refused(Box<Response>),
    /// Where what this path names lives.
    Endpoints(String),
    CrossDomainPolicy,
}

/// What a path is for.
enum Route {
    Swift(Path),
    Info,
    Refused(Box<Response>),
}

/// Whether the gatekeeper let the client name what begins with NUL.
fn allows_reserved(headers: &Headers) -> bool {
    headers.contains(ALLOW_RESERVED_NAMES)
}

/// `/v1/…` (any valid version), `/info`, or Swift's refusal.
fn route(config: &Config, target: &Bytes, allows_reserved: bool) -> Route {
    let refused = |response: Response| Route::Refused(Box::new(response));
    let path = head::path(target);
    if path == b"/info" {
        return Route::Info;
    }
    let decoded = unquoted(path);
    if (decoded.contains(&0) && !allows_reserved) || std::str::from_utf8(&decoded).is_err() {
        return refused(respond::told(Status(412), "Invalid UTF8 or contains NULL"));
    }
    let behind_slash = path.strip_prefix(b"/").unwrap_or_default();
    let end = behind_slash.iter().position(|&byte| byte == b'/').unwrap_or(behind_slash.len());
    let (version, rest) = behind_slash.split_at(end);
    if version.is_empty() {
        return refused(respond::standard(Status(404)));
    }
    let bad_url = || refused(respond::told(Status(412), "Bad URL"));
    if matches!(rest, b"" | b"/") {
        return bad_url();
    }
    if has_gap(rest) {
        return refused(respond::standard(Status(404)));
    }
    let known =
        config.constraints.valid_api_versions.iter().any(|known| known.as_bytes() == unquoted(version).as_ref());
    if !known {
        return refused(respond::standard(Status(400)));
    }
    let rest = target.slice_ref(rest);
    let parsed = if allows_reserved { Path::cut_reserved(&rest) } else { Path::cut(&rest) };
    match parsed {
        Ok(path) => Route::Swift(path),
        Err(InvalidPath::Shape) => bad_url(),
        Err(InvalidPath::Encoding) => refused(respond::told(Status(412), "Invalid UTF8 or contains NULL")),
    }
}

/// Middleware speaks of places under `/v1`; who came by another name of that version, as `/v1.0`, is told them under this one.
fn name_version(asked: &[u8], headers: &mut Headers) {
    const OURS: &str = "/v1/";
    if asked.starts_with(OURS.as_bytes()) {
        return;
    }
    let Some(version) = asked.split(|&byte| byte == b'/').nth(1).map(unquoted) else { return };
    let version = String::from_utf8_lossy(&version);
    respond::rewrite_places(headers, |site, path| Some(format!("{site}/{version}/{}", path.strip_prefix(OURS)?)));
}

/// Whether an account or container is missing in front of something: `//container`, `/account//object`.
fn has_gap(rest: &[u8]) -> bool {
    let mut parts = rest.strip_prefix(b"/").unwrap_or(rest).splitn(3, |&byte| byte == b'/');
    let (account, container, object) = (parts.next(), parts.next(), parts.next());
    (account == Some(b"") && container.is_some()) || (container == Some(b"") && object.is_some())
}

/// Whether the client came by a name under which nobody is served.
fn is_denied(denied: &[String], headers: &Headers) -> bool {
    let host = headers.get_str("Host").unwrap_or_default().split(':').next().unwrap_or_default();
    denied.iter().any(|name| name == host)
}

/// Verbs that only backends know.
fn refuse_method(method: Method) -> Option<Response> {
    let is_backend_verb = matches!(method, Method::Replicate | Method::Ssync | Method::Update);
    is_backend_verb.then(|| respond::not_allowed("PUT, DELETE, OPTIONS, GET, POST, HEAD"))
}

#[cfg(test)]
pub(crate) mod tests;
