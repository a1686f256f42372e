//! Requests for what the members of the pipeline add: signed URLs, lists and archives, web pages, hosts, versions by their id.

use super::Generator;
use crate::wire::{Request, VERSION};
use base::checksum::hex;
use base::quote::unquote;
use hmac::{Hmac, KeyInit, Mac};
use sha1::Sha1;
use sha2::{Sha256, Sha512};

/// The signing key that containers get.
pub(super) const KEY: &str = "local key";
/// A time no run will see.
const FUTURE: &str = "4102444800";

impl Generator {
    pub(super) fn feature(&mut self, request: &mut Request) {
        match self.random.below(16) {
            0..=2 => self.signed(request),
            3 => self.delete_list(request),
            4 => self.archive(request),
            5..=6 => self.web(request),
            7 => self.host(request),
            8..=9 => self.version(request),
            10 => self.other_account(request),
            11..=13 if self.takes_forms => self.form(request),
            14 => self.own_account(request),
            _ => self.account_listing(request),
        }
    }

    pub(super) fn feature_fields(&mut self, request: &mut Request) {
        match self.random.below(10) {
            0..=2 => Self::set(request, "X-Container-Meta-Temp-URL-Key", KEY),
            3 => Self::set(request, "X-Container-Meta-Temp-URL-Key-2", KEY),
            4 => Self::set(request, "X-Container-Meta-Web-Index", "one"),
            5 => {
                Self::set(request, "X-Container-Meta-Web-Listings", "true");
                Self::set(request, "X-Container-Read", ".r:*,.rlistings");
            }
            6 => Self::set(request, "X-Container-Meta-Web-Listings-CSS", "style.css"),
            7 => Self::set(request, "X-Container-Meta-Web-Error", "error.html"),
            8 => {
                let value = self.one(&["true", "false", "maybe", ""]);
                Self::set(request, "X-Container-Rfc-Compliant-Etags", value);
            }
            _ => {
                let name = self.one(&["Allow-Origin", "Expose-Headers", "Max-Age"]);
                let value = self.one(&["*", "http://web.example", "http://web.example http://other.example", "5"]);
                Self::set(request, &format!("X-Container-Meta-Access-Control-{name}"), value);
            }
        }
    }

    fn signed(&mut self, request: &mut Request) {
        request.user = None;
        request.method = self.one(&["GET", "GET", "GET", "HEAD", "PUT", "POST", "DELETE"]);
        let path = self.path(true);
        let mut signs = String::from_utf8_lossy(&unquote(path.as_bytes())).into_owned();
        let mut method = request.method;
        let mut query = String::new();
        let key = if self.chance(90) { KEY } else { "another" };
        let expires = if self.chance(90) { FUTURE } else { self.one(&["1", "abc", "", "2100-01-01T00:00:00Z", "0"]) };
        match self.random.below(10) {
            0 => method = "GET",
            1 => {
                let prefix = self.one(&["", "o", "p/", "zzz"]);
                let container = signs.splitn(5, '/').take(4).collect::<Vec<_>>().join("/");
                signs = format!("prefix:{container}/{prefix}");
                query = format!("&temp_url_prefix={prefix}");
            }
            2 => {
                let range = self.one(&["127.0.0.0/8", "127.0.0.1", "10.0.0.1", "bad", "::1"]);
                query = format!("&temp_url_ip_range={range}");
            }
            3 => query = "&filename=other%20name.txt".to_owned(),
            4 => query = "&inline".to_owned(),
            5 => query = "&filename=%22quoted%22%0Aline&inline=".to_owned(),
            6 => signs.push('x'),
            7 => query = "&multipart-manifest=get".to_owned(),
            _ => {}
        }
        let mut message = format!("{method}\n{expires}\n{signs}");
        if let Some(range) = query.strip_prefix("&temp_url_ip_range=") {
            message = format!("ip={range}\n{message}");
        }
        let (key, message) = (key.as_bytes(), message.as_bytes());
        let signature = match self.random.below(8) {
            0 => mac::<Hmac<Sha1>>(key, message),
            1 => mac::<Hmac<Sha512>>(key, message),
            2 => format!("sha256:{}", mac::<Hmac<Sha256>>(key, message)),
            3 => mac::<Hmac<Sha256>>(key, message).to_uppercase(),
            _ => mac::<Hmac<Sha256>>(key, message),
        };
        request.target = format!("{path}?temp_url_sig={signature}&temp_url_expires={expires}{query}");
        if request.method == "PUT" {
            request.body = b"by signature".to_vec();
            if self.chance(15) {
                Self::set(request, "X-Object-Manifest", "a/b");
            }
        } else if self.chance(30) {
            self.conditions(request);
        }
    }

    /// At most one name is missing, so that the order of complaints is one.
    fn delete_list(&mut self, request: &mut Request) {
        request.method = self.one(&["POST", "POST", "DELETE"]);
        request.target = format!("/v1/AUTH_test?{}", self.one(&["bulk-delete", "bulk-delete=1", "bulk-delete&x=y"]));
        let kind = self.one(&["text/plain", "text/plain", "text/plain; charset=utf-8", "application/json", ""]);
        Self::set(request, "Content-Type", kind);
        let container = self.container_name();
        let name = match self.random.below(6) {
            0 => "/".to_owned(),
            1 => format!("{container}/{}", "n".repeat(1025)),
            2 => format!("  /{container}/{}  ", self.object_name()),
            3 => format!("{container}/%ff"),
            4 => container,
            _ => format!("/{container}/{}", self.object_name()),
        };
        request.body = if self.chance(90) { format!("{name}\n\n").into_bytes() } else { Vec::new() };
        if self.chance(60) {
            let accept = if self.chance(50) {
                self.one(&["application/json", "application/xml", "text/plain"])
            } else {
                self.one(&super::ACCEPTS)
            };
            Self::set(request, "Accept", accept);
        }
    }

    fn archive(&mut self, request: &mut Request) {
        request.method = "PUT";
        let kind = self.one(&["tar", "tar", "tar", "tar.gz", "zip", ""]);
        let path = if self.chance(70) { self.path(false) } else { "/v1/AUTH_test".to_owned() };
        let name = match self.random.below(5) {
            0 => format!("{}a/from tar", self.stem),
            1 => "n".repeat(99),
            2 if !path.ends_with("AUTH_test") => "./dot/name".to_owned(),
            3 => "/slash".to_owned(),
            // Where nothing is in front of it, its first part is a container, which must be of this run.
            _ if path.ends_with("AUTH_test") => {
                let name = self.one(&["one", "p/q/r", "new"]).to_owned();
                format!("{}a/{name}", self.stem)
            }
            _ => self.one(&["one", "p/q/r", "new"]).to_owned(),
        };
        request.target = format!("{path}?extract-archive={kind}");
        request.body = tar(&name, b"of an archive");
        if self.chance(10) {
            request.body.truncate(700);
        }
        if self.chance(50) {
            let accept = self.one(&["application/json", "text/xml", "text/plain"]);
            Self::set(request, "Accept", accept);
        }
    }

    fn web(&mut self, request: &mut Request) {
        request.method = self.one(&["GET", "GET", "HEAD"]);
        if self.chance(60) {
            request.user = None;
        } else {
            Self::set(request, "X-Web-Mode", "true");
        }
        let container = self.path(false);
        let rest =
            self.one(&["", "/", "/p", "/p/", "/p/q/", "/missing", "/one", "/error.html", "/?limit=1", "/p/?x=y"]);
        request.target = format!("{container}{rest}");
    }

    fn host(&mut self, request: &mut Request) {
        request.method = self.one(&["GET", "GET", "HEAD", "PUT"]);
        let container = self.container_name().replace('%', "-");
        let host = match self.random.below(6) {
            0 => "AUTH_test.example.com".to_owned(),
            1 => "AUTH-test.example.com".to_owned(),
            2 => format!("{container}.AUTH_test.example.com"),
            3 => "a.b.c.example.com".to_owned(),
            4 => "nobody.example.com:80".to_owned(),
            _ => "other.example".to_owned(),
        };
        Self::set(request, "Host", host);
        request.target = self.one(&["/one", "/p/q/r", "/v1/AUTH_test/x", "//", "/%ff"]).to_owned();
        if request.method == "PUT" {
            request.target = format!("/{}a/hosted", self.stem);
        }
    }

    /// A version that either end named last, each under its own id.
    fn version(&mut self, request: &mut Request) {
        request.method = self.one(&["GET", "GET", "HEAD", "DELETE", "PUT", "POST"]);
        let container = self.one(&["b%20b", "%C3%A7"]);
        let object = self.one(&["one", "p/q/r"]);
        request.target = format!("/v1/AUTH_test/{}{container}/{object}?version-id={VERSION}", self.stem);
        if request.method == "PUT" && self.chance(20) {
            request.body = b"not empty".to_vec();
        }
        if request.method == "GET" {
            self.conditions(request);
        }
    }

    fn other_account(&mut self, request: &mut Request) {
        let path = self.path(true);
        match self.random.below(4) {
            0 => {
                request.user = Some(super::OTHER);
                request.method = "PUT";
                request.target = format!("/v1/AUTH_test2/{}z/copied", self.stem);
                Self::set(request, "X-Copy-From", path.trim_start_matches("/v1/AUTH_test"));
                Self::set(request, "X-Copy-From-Account", "AUTH_test");
            }
            1 => {
                request.user = Some(super::OTHER);
                request.method = "PUT";
                request.target = format!("/v1/AUTH_test2/{}z", self.stem);
            }
            2 => {
                request.method = "COPY";
                request.target = path;
                Self::set(request, "Destination-Account", "AUTH_test2");
                Self::set(request, "Destination", format!("{}z/copied", self.stem));
            }
            _ => {
                request.user = Some(super::OTHER);
                request.method = self.one(&["GET", "HEAD", "DELETE"]);
                request.target = format!("/v1/AUTH_test2/{}z/copied", self.stem);
            }
        }
    }

    /// Only names: counts come later, by updates.
    fn account_listing(&mut self, request: &mut Request) {
        request.method = self.one(&["GET", "GET", "HEAD"]);
        let more = self.one(&["", "&limit=1", "&delimiter=-", "&reverse=true", "&marker=zzz", "&delimiter=c&limit=2"]);
        request.target = format!("/v1/AUTH_test?prefix={}{more}", self.stem);
        if self.chance(20) {
            let accept = self.one(&["text/plain", "image/png", "text/plain;q=0.1", "", "text/*", "*/*;q=0.5"]);
            Self::set(request, "Accept", accept);
        }
    }
}

pub(super) fn mac<M: Mac + KeyInit>(key: &[u8], message: &[u8]) -> String {
    let mut mac = <M as KeyInit>::new_from_slice(key).unwrap();
    mac.update(message);
    hex(&mac.finalize().into_bytes())
}

/// One file in a tape archive as POSIX draws it.
fn tar(name: &str, content: &[u8]) -> Vec<u8> {
    let mut head = vec![0; 512];
    let mut put = |at: usize, bytes: &[u8]| head[at..at + bytes.len()].copy_from_slice(bytes);
    put(0, name.as_bytes());
    put(100, b"0000644\0");
    put(108, b"0000000\0");
    put(116, b"0000000\0");
    put(124, format!("{:011o}\0", content.len()).as_bytes());
    put(136, b"00000000000\0");
    put(148, b"        ");
    put(156, b"0");
    put(257, b"ustar\x0000");
    let sum: u32 = head.iter().map(|&byte| u32::from(byte)).sum();
    head[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    head.extend_from_slice(content);
    head.resize(1024, 0);
    head.resize(2048, 0);
    head
}
