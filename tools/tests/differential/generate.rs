//! Requests at random: mostly sensible, sometimes at a limit, sometimes nonsense.

use crate::wire::Request;
use base::checksum::md5_hex;
use base::io::sim::Random;

#[path = "bounds.rs"]
mod bounds;
#[path = "features.rs"]
mod features;
#[path = "forms.rs"]
mod forms;
#[path = "links.rs"]
mod links;

/// Makes the requests of one epoch, about a few names of its own.
pub struct Generator {
    random: Random,
    /// Begins every container's name.
    stem: String,
    sent: u64,
    /// Whether Swift's pipeline has formpost.
    takes_forms: bool,
}

const OWNER: (&str, &str) = ("test:tester", "testing");
const STRANGER: (&str, &str) = ("test:tester3", "testing3");
const OTHER: (&str, &str) = ("test2:tester2", "testing2");
/// Percent-encoded in every way that clients do.
const CONTAINERS: [&str; 5] = ["a", "b%20b", "%C3%A7", "d%25", "e+f"];
const OBJECTS: [&str; 10] =
    ["one", "two%20words", "p/q/r", "p/q/s", "p%2Fq%2Ft", "%e2%98%83", "a;b=c", "%3Fq", "tail/", "UPPER.txt"];
const BAD_PARTS: [&str; 8] = ["%00", "%ff", "%ED%A0%80", "%zz", "%", "..", "%2e%2e", "//"];
/// How clients say which form they like, and how they should not.
const ACCEPTS: [&str; 26] = [
    "application/json",
    "text/xml",
    "application/xml;q=0.5,text/plain",
    "*/*",
    "image/png",
    "application/json;q=0",
    "nonsense",
    "text/*;q=0.3, application/json;q=0.9",
    "",
    "*",
    "text/*",
    "application/*",
    "application/json; charset=utf-8",
    "text/plain;q=2",
    "text/plain;q=-1",
    "text/plain;q=abc, application/json",
    "text/plain;Q=0.5, text/xml;q=0.50001",
    "text/plain,,text/xml",
    "TEXT/XML",
    "text/xml ; q = 0.5",
    "text/plain;level=1;q=0.2, application/xml;q=0.3",
    "application/json;q=\"0.5\"",
    "*/json",
    "text / plain",
    "text/html, application/xhtml+xml, application/xml;q=0.9, */*;q=0.8",
    "application/x-www-form-urlencoded",
];
const BODIES: [&[u8]; 4] = [b"", b"body", b"some more bytes for ranges", b"{\"a\": 1}"];

impl Generator {
    pub fn new(seed: u64, run: u64, epoch: u64, takes_forms: bool) -> Generator {
        let random = Random::new(seed.wrapping_mul(1_000_003) + epoch);
        Generator { random, stem: format!("df{run}-{epoch}-"), sent: 0, takes_forms }
    }

    pub fn next(&mut self) -> Request {
        self.sent += 1;
        let user = match self.random.below(40) {
            0 | 1 => None,
            2 | 3 => Some(STRANGER),
            4 => Some(OTHER),
            _ => Some(OWNER),
        };
        let mut request = Request {
            method: "GET",
            target: String::new(),
            headers: Vec::new(),
            body: Vec::new(),
            chunked: false,
            user,
        };
        match self.random.below(100) {
            // Something to work with, first.
            _ if self.sent <= 3 => self.put_container(&mut request),
            0..=4 => self.account(&mut request),
            5..=14 => self.put_container(&mut request),
            15..=32 => self.container(&mut request),
            33..=52 => self.put_object(&mut request),
            53..=57 => self.copy(&mut request),
            58..=73 => self.object(&mut request),
            74..=79 => self.link(&mut request),
            80..=83 => self.bound(&mut request),
            84..=97 => self.feature(&mut request),
            _ => self.nonsense(&mut request),
        }
        if !matches!(request.method, "GET" | "HEAD") {
            // Ours refuses a type without weight, with a reason; behind a write all that follows would be different.
            request.headers.retain(|(name, value)| name != "Accept" || !has_no_weight(value));
        }
        request
    }

    fn one<'a>(&mut self, of: &[&'a str]) -> &'a str {
        of[self.random.index(of.len())]
    }

    fn chance(&mut self, percent: u64) -> bool {
        self.random.below(100) < percent
    }

    fn set(request: &mut Request, name: &str, value: impl Into<String>) {
        request.headers.push((name.to_owned(), value.into()));
    }

    fn container_name(&mut self) -> String {
        let name = self.one(&CONTAINERS);
        format!("{}{name}", self.stem)
    }

    fn object_name(&mut self) -> String {
        self.one(&OBJECTS).to_owned()
    }

    fn path(&mut self, with_object: bool) -> String {
        let mut path = format!("/v1/AUTH_test/{}", self.container_name());
        if with_object {
            let name = self.object_name();
            path.push('/');
            path.push_str(if is_versioned(&path) { name.trim_end_matches(".txt") } else { &name });
        }
        path
    }

    fn account(&mut self, request: &mut Request) {
        request.method = self.one(&["HEAD", "OPTIONS", "POST", "PATCH"]);
        request.target = "/v1/AUTH_test".to_owned();
        if request.method == "POST" {
            // Nothing that stays: other runs use the account as well.
            let length = self.around(128);
            Self::set(request, &format!("X-Account-Meta-{}", "n".repeat(length.max(129))), "v");
        }
    }

    fn put_container(&mut self, request: &mut Request) {
        request.method = "PUT";
        request.target = self.path(false);
        match self.random.below(12) {
            0 => Self::set(request, "X-Storage-Policy", "silver"),
            1 => Self::set(request, "X-Storage-Policy", "Gold"),
            2 => Self::set(request, "X-Storage-Policy", "nowhere"),
            3 => Self::set(request, "X-Storage-Policy", ""),
            4 => {
                let length = self.around(256);
                request.target = format!("/v1/AUTH_test/{}{}", self.stem, "c".repeat(length - self.stem.len()));
            }
            // Where no name shows its type: Swift guesses it from the version's name, in vain.
            5 if is_versioned(&request.target) => Self::set(request, "X-Versions-Enabled", "true"),
            6 if !is_versioned(&request.target) => {
                let mode = self.one(&["X-Versions-Location", "X-History-Location"]);
                Self::set(request, mode, format!("{}old", self.stem));
            }
            7 => request.target = format!("/v1/AUTH_test/{}old", self.stem),
            _ => {}
        }
        self.container_fields(request);
    }

    fn container_fields(&mut self, request: &mut Request) {
        if self.chance(25) {
            return self.feature_fields(request);
        }
        match self.random.below(14) {
            0 => Self::set(request, "X-Container-Meta-Color", "blue"),
            1 => Self::set(request, "X-Container-Meta-Color", ""),
            2 => Self::set(request, "X-Remove-Container-Meta-Color", "x"),
            3 => {
                let acl =
                    self.one(&[".r:*", ".r:*,.rlistings", "test:tester3", ".r:-bad.example", ".r:", "*:*", " , "]);
                Self::set(request, "X-Container-Read", acl);
            }
            4 => {
                let acl = self.one(&["test:tester3", ".r:*", "test2:*", ""]);
                Self::set(request, "X-Container-Write", acl);
            }
            5 => {
                let length = self.around(128);
                Self::set(request, &format!("X-Container-Meta-{}", "n".repeat(length)), "v");
            }
            6 => {
                let length = self.around(256);
                Self::set(request, "X-Container-Meta-Long", "v".repeat(length));
            }
            7 => {
                for number in 0..self.around(90) {
                    Self::set(request, &format!("X-Container-Meta-N{number}"), "v");
                }
            }
            8 => {
                let quota = self.one(&["100", "abc", "-1", ""]);
                let kind = self.one(&["Bytes", "Count"]);
                Self::set(request, &format!("X-Container-Meta-Quota-{kind}"), quota);
            }
            9 => Self::set(request, "X-Container-Meta-", "nameless"),
            _ => {}
        }
    }

    fn container(&mut self, request: &mut Request) {
        request.method = self.one(&["GET", "GET", "GET", "GET", "HEAD", "HEAD", "POST", "POST", "DELETE", "OPTIONS"]);
        request.target = self.path(false);
        match request.method {
            "POST" => self.container_fields(request),
            "GET" | "HEAD" => {
                let query = self.listing_query();
                request.target.push_str(&query);
                if self.chance(25) {
                    let accept = self.one(&ACCEPTS);
                    Self::set(request, "Accept", accept);
                }
            }
            "OPTIONS" => self.preflight(request),
            _ => {}
        }
    }

    fn listing_query(&mut self) -> String {
        const PARTS: [&str; 38] = [
            "format=json",
            "format=json",
            "format=json",
            "format=xml",
            "format=plain",
            "format=bogus",
            "limit=2",
            "limit=0",
            "limit=-1",
            "limit=abc",
            "limit=10000",
            "limit=10001",
            "limit=",
            "marker=p",
            "marker=two%20words",
            "marker=%E2%98%83",
            "end_marker=q",
            "end_marker=",
            "prefix=p/",
            "prefix=p%2Fq",
            "prefix=",
            "delimiter=/",
            "delimiter=ab",
            "delimiter=%2F",
            "path=p",
            "path=",
            "reverse=true",
            "reverse=maybe",
            "versions",
            "unknown=1",
            "prefix=%ff",
            "marker=%00",
            "limit=1&limit=2",
            "prefix=p+",
            "delimiter=%E2%98%83",
            "format=JSON",
            "reverse",
            "end_marker=%C3%A7",
        ];
        let count = self.random.below(4);
        let parts: Vec<&str> = (0..count).map(|_| self.one(&PARTS)).collect();
        if parts.is_empty() { String::new() } else { format!("?{}", parts.join("&")) }
    }

    fn preflight(&mut self, request: &mut Request) {
        if self.chance(70) {
            Self::set(request, "Origin", "http://web.example");
        }
        if self.chance(70) {
            let method = self.one(&["GET", "PUT", "BREW"]);
            Self::set(request, "Access-Control-Request-Method", method);
        }
        request.user = None;
    }

    fn put_object(&mut self, request: &mut Request) {
        request.method = "PUT";
        request.target = self.path(true);
        request.body = BODIES[self.random.index(BODIES.len())].to_vec();
        request.chunked = self.chance(15);
        let kind = self.one(&["text/plain", "text/html; charset=UTF-8", "", "application/x-deleted;swift_x=1", "a"]);
        if self.chance(60) {
            Self::set(request, "Content-Type", kind);
        }
        match self.random.below(20) {
            0 => Self::set(request, "Etag", md5_hex(&request.body.clone())),
            1 => Self::set(request, "Etag", format!("\"{}\"", md5_hex(&request.body.clone()))),
            2 => Self::set(request, "Etag", "0123456789abcdef0123456789abcdef"),
            3 => Self::set(request, "If-None-Match", "*"),
            4 => Self::set(request, "If-None-Match", "\"abc\""),
            5 => {
                let value = self.one(&["1", "abc", "-5", "9999999999", "0", "99999999999", "4102444800"]);
                Self::set(request, "X-Delete-At", value);
            }
            6 => {
                let value = self.one(&["abc", "-1", "10.5"]);
                Self::set(request, "X-Delete-After", value);
            }
            7 => {
                let length = self.around(1024);
                request.target = format!("/v1/AUTH_test/{}a/{}", self.stem, "o".repeat(length));
            }
            8 => {
                request.body.clear();
                let target = format!("{}/{}", self.container_name(), self.object_name());
                let target = if self.chance(85) { target } else { self.one(&["x", "/x", "x/", ""]).to_owned() };
                Self::set(request, "X-Symlink-Target", target);
                if self.chance(30) {
                    let etag =
                        self.one(&["\"841a2d689ad86bd1611447453c22c6fc\"", "841a2d689ad86bd1611447453c22c6fc", "bad"]);
                    Self::set(request, "X-Symlink-Target-Etag", etag);
                }
            }
            9 => {
                let target = self.one(&["a/p/q", "x", "/x", "a/", "a?b/c", "%zz/x"]);
                Self::set(request, "X-Object-Manifest", format!("{}{target}", self.stem));
            }
            10 => self.slo(request),
            11 => Self::set(request, "Content-Encoding", "gzip"),
            12 => Self::set(request, "X-Detect-Content-Type", "true"),
            13 => Self::set(request, "X-Timestamp", "1500000000.00000"),
            14 => Self::set(request, "Expect", "100-continue"),
            _ => {}
        }
        self.object_fields(request);
    }

    fn slo(&mut self, request: &mut Request) {
        request.target.push_str("?multipart-manifest=put");
        let bodies = [
            format!("[{{\"path\": \"{}a/one\"}}]", self.stem),
            format!("[{{\"path\": \"/{}a/one\", \"size_bytes\": 4}}, {{\"data\": \"Ym9keQ==\"}}]", self.stem),
            format!("[{{\"path\": \"{}a/one\", \"range\": \"0-1\"}}]", self.stem),
            format!("[{{\"path\": \"{}a/one\", \"etag\": \"bad\"}}]", self.stem),
            format!(
                "[{{\"path\": \"{0}a/one\"}}, {{\"path\": \"{0}a/one\"}}, {{\"path\": \"{0}e+f/one\"}}]",
                self.stem
            ),
            format!("[{{\"path\": \"{}a/one\", \"range\": \"-1\"}}, {{\"data\": \"\"}}]", self.stem),
            format!("[{{\"path\": \"{}a/one\", \"size_bytes\": -1}}]", self.stem),
            format!("[{{\"path\": \"{}a/\\u00e7\", \"size_bytes\": null, \"etag\": null}}]", self.stem),
            "[{\"data\": \"Ym9keQ==\"}]".to_owned(),
            "[]".to_owned(),
            "{}".to_owned(),
            "[{\"path\": \"x\"}]".to_owned(),
            "[{\"path\": \"/a/b\", \"other\": 1}]".to_owned(),
            "not json".to_owned(),
        ];
        request.body = bodies[self.random.index(bodies.len())].clone().into_bytes();
        request.chunked = false;
    }

    fn object_fields(&mut self, request: &mut Request) {
        match self.random.below(14) {
            0 => Self::set(request, "X-Object-Meta-Color", "red"),
            1 => Self::set(request, "x-object-meta-UPPER-lower", "MiXed"),
            2 => Self::set(request, "X-Object-Meta-Empty", ""),
            3 => {
                let length = self.around(128);
                Self::set(request, &format!("X-Object-Meta-{}", "n".repeat(length)), "v");
            }
            4 => {
                let length = self.around(256);
                Self::set(request, "X-Object-Meta-Long", "v".repeat(length));
            }
            5 => {
                for number in 0..self.around(90) {
                    Self::set(request, &format!("X-Object-Meta-N{number}"), "v");
                }
            }
            6 => {
                for number in 0..17 {
                    Self::set(request, &format!("X-Object-Meta-S{number:02}"), "v".repeat(238));
                }
            }
            7 => Self::set(request, "Content-Disposition", "attachment; filename=\"x\""),
            8 => Self::set(request, "Cache-Control", "max-age=1"),
            9 => Self::set(request, "X-Object-Meta-Utf8", "caf\u{e9}"),
            _ => {}
        }
    }

    fn copy(&mut self, request: &mut Request) {
        request.target = self.path(true);
        let other = format!("{}/{}", self.container_name(), self.object_name());
        let other = match self.random.below(12) {
            0 => format!("/{other}"),
            1 => self.container_name(),
            2 => String::new(),
            _ => other,
        };
        if self.chance(50) {
            request.method = "COPY";
            Self::set(request, "Destination", other);
            if self.chance(8) {
                let account = self.one(&["AUTH_test", "AUTH_test2", "a/b", ""]);
                Self::set(request, "Destination-Account", account);
            }
        } else {
            request.method = "PUT";
            Self::set(request, "X-Copy-From", other);
            if self.chance(5) {
                request.body = b"x".to_vec();
            }
        }
        if self.chance(20) {
            Self::set(request, "X-Fresh-Metadata", "true");
        }
        if self.chance(15) {
            let query = self.one(&["?multipart-manifest=get", "?symlink=get", "?version-id=null"]);
            request.target.push_str(query);
        }
        if self.chance(15) {
            Self::set(request, "Content-Type", "text/copied");
        }
        self.object_fields(request);
    }

    fn object(&mut self, request: &mut Request) {
        request.method = self
            .one(&["GET", "GET", "GET", "GET", "GET", "HEAD", "HEAD", "POST", "POST", "DELETE", "DELETE", "OPTIONS"]);
        request.target = self.path(true);
        match request.method {
            "POST" => {
                if self.chance(30) {
                    Self::set(request, "Content-Type", "text/posted");
                }
                if self.chance(15) {
                    let value = self.one(&["1", "abc", "4102444800", ""]);
                    Self::set(request, "X-Delete-At", value);
                }
                self.object_fields(request);
            }
            "OPTIONS" => self.preflight(request),
            _ => self.conditions(request),
        }
        if self.chance(3) {
            Self::set(request, "X-Timestamp", "1500000000.00000");
        }
        if self.chance(12) {
            let query = self.one(&[
                "?multipart-manifest=get",
                "?multipart-manifest=get&format=raw",
                "?multipart-manifest=delete",
                "?symlink=get",
                "?version-id=null",
                "?version-id=1500000000.00000",
                "?version-id=bad",
                "?part-number=1",
                "?part-number=0",
                "?part-number=x",
                "?unknown",
            ]);
            request.target.push_str(query);
        }
    }

    fn conditions(&mut self, request: &mut Request) {
        if self.chance(35) {
            let range = self.one(&[
                "bytes=0-3",
                "bytes=2-",
                "bytes=-2",
                "bytes=0-0,2-3",
                "bytes=100-",
                "bytes=3-1",
                "bytes=",
                "bytes=a-b",
                "items=0-1",
                "bytes=0-99999999999999999999",
                "bytes=-0",
                "bytes=0-1,1-2,2-3",
                "bytes=1-2, 0-0",
                "0-1",
                "bytes=0-1,900-",
                "bytes = 0-1",
            ]);
            Self::set(request, "Range", range);
        }
        if self.chance(30) {
            let name = self.one(&["If-Match", "If-None-Match"]);
            let value = self.one(&[
                "*",
                "\"841a2d689ad86bd1611447453c22c6fc\"",
                "841a2d689ad86bd1611447453c22c6fc",
                "\"x\"",
                "\"x\", \"841a2d689ad86bd1611447453c22c6fc\"",
                "",
                "W/\"841a2d689ad86bd1611447453c22c6fc\"",
            ]);
            Self::set(request, name, value);
        }
        if self.chance(20) {
            let name = self.one(&["If-Modified-Since", "If-Unmodified-Since"]);
            let value = self.one(&[
                "Sun, 06 Nov 1994 08:49:37 GMT",
                "Fri, 01 Jan 2100 00:00:00 GMT",
                "Sunday, 06-Nov-94 08:49:37 GMT",
                "Sun Nov  6 08:49:37 1994",
                "yesterday",
                "",
                "Thu, 01 Jan 1970 00:00:00 GMT",
            ]);
            Self::set(request, name, value);
        }
        if self.chance(8) {
            Self::set(request, "X-Newest", "true");
        }
        if self.chance(8) {
            Self::set(request, "Origin", "http://web.example");
        }
    }

    fn nonsense(&mut self, request: &mut Request) {
        request.method = self.one(&["GET", "PUT", "DELETE", "HEAD", "POST"]);
        let bad = self.one(&BAD_PARTS);
        let path = self.path(true);
        request.target = match self.random.below(8) {
            0 => format!("{path}{bad}"),
            1 => path.replacen("/AUTH_test/", &format!("/AUTH_test/{bad}"), 1),
            2 => path.replacen("/v1/", "/v2/", 1),
            3 => path.replacen("/v1/", "/v1.0/", 1),
            4 => "/v1/".to_owned(),
            5 => "/".to_owned(),
            6 => path.replacen("/v1/", "/v1//", 1),
            _ => format!("/v1/AUTH_{bad}/c"),
        };
    }

    /// One less, the limit itself, one more.
    fn around(&mut self, limit: usize) -> usize {
        limit - 1 + self.random.index(3)
    }
}

/// Two of the containers may keep versions.
pub fn is_versioned(path: &str) -> bool {
    path.contains("b%20b") || path.contains("%C3%A7")
}

/// Whether one of the types has `q=0` or less.
fn has_no_weight(accept: &str) -> bool {
    let weights = accept.split([',', ';']).filter_map(|part| part.trim().strip_prefix("q="));
    weights.filter_map(|weight| weight.parse::<f32>().ok()).any(|weight| weight <= 0.0)
}
