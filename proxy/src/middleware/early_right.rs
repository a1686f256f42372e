//! The right of a caller, asked by middleware that acts in his name before the application would ask.

use super::authorization::{Acls, Verdict, authorize, verdict};
use crate::config::Config;
use crate::pipeline::Application;
use crate::request::{Authority, ClientRequest};
use base::http::server::Response;
use std::mem::replace;
use std::rc::Rc;

/// Asks with the container's ACL at hand and, where they decide, the account's fields, which `application` knows. After that
/// nobody asks again about this request; about another name that it leads to (a link's target) the caller's own right counts.
pub(super) async fn authorize_early(
    config: &Config,
    application: &Rc<dyn Application>,
    request: &mut ClientRequest,
    container: Option<&str>,
) -> Result<(), Box<Response>> {
    let without = Acls { container, account: None, sync_key: None };
    if verdict(config, request, without) == Verdict::DependsOnAccount {
        let fields = application.account_headers(request).await;
        authorize(config, request, Acls { account: Some(&fields), ..without })?;
    } else {
        authorize(config, request, without)?;
    }
    request.authority = replace(&mut request.authority, Authority::Ask).allowed_here();
    Ok(())
}
