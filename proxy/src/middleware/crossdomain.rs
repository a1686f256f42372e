//! crossdomain: `/crossdomain.xml`, by which Adobe's players learn which sites may use this one.

use base::http::Status;
use base::http::server::Response;

/// Swift's default: every site.
pub(crate) const POLICY: &str = r#"<allow-access-from domain="*" secure="false" />"#;

/// The document around the operator's policy.
pub(crate) fn answer(policy: &str) -> Response {
    let body = format!(
        "<?xml version=\"1.0\"?>\n<!DOCTYPE cross-domain-policy SYSTEM \"http://www.adobe.com/xml/dtds/cross-domain-policy.dtd\" >\n\
         <cross-domain-policy>\n{policy}\n</cross-domain-policy>"
    );
    Response::full(Status(200), "application/xml; charset=UTF-8", body)
}
