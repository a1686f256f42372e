//! healthcheck: `OK` for balancers, 503 while the operator's file is there.

use crate::config::Config;
use base::http::Status;
use base::http::server::Response;
use base::io::fs;

/// The answer to `/healthcheck`.
pub async fn answer(config: &Config) -> Response {
    let text = "text/plain; charset=UTF-8";
    match &config.healthcheck_disable_path {
        Some(path) if fs::metadata(path).await.is_ok() => Response::full(Status(503), text, "DISABLED BY FILE"),
        _ => Response::full(Status(200), text, "OK"),
    }
}
