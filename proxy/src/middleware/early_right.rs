//! The right of a caller, asked by middleware that acts in his name before the application would ask.

use super::tempauth::{Acls, STORED_ACCOUNT_ACL, authorize};
use crate::config::Config;
use crate::pipeline::Application;
use crate::request::{Authority, ClientRequest};
use base::http::server::Response;
use std::rc::Rc;

/// Asks with the container's ACL at hand and the account's, which
/// `application` knows. After that nobody asks again.
pub(super) async fn authorize_early(
    config: &Config,
    application: &Rc<dyn Application>,
    request: &mut ClientRequest,
    container: Option<&str>,
) -> Result<(), Box<Response>> {
    if request.authority == Authority::Granted {
        return Ok(());
    }
    let without = authorize(config, request, Acls { container, account: None });
    if without.is_err() && request.identity.user.is_some() {
        let fields = application.account_headers(request).await;
        authorize(config, request, Acls { container, account: fields.get_str(STORED_ACCOUNT_ACL) })?;
    } else {
        without?;
    }
    request.authority = Authority::Granted;
    Ok(())
}
