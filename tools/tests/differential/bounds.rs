//! Every limit of `/info`: one less, the limit itself, one more. And accounts of an epoch's own, whose limits can be tried.

use super::Generator;
use crate::wire::Request;

/// May do everything in every account.
const ADMIN: (&str, &str) = ("admin:admin", "admin");

impl Generator {
    pub(super) fn bound(&mut self, request: &mut Request) {
        match self.random.below(12) {
            0..=2 => self.metadata(request),
            3 => self.total(request),
            4 => self.header(request),
            5 => self.many_headers(request),
            6 => self.request_line(request),
            7 => self.length(request),
            8 => self.names(request),
            9 => self.listing_limit(request),
            10 => self.manifest_limit(request),
            _ => self.delete_list_limit(request),
        }
    }

    /// An account that no other epoch asks.
    pub(super) fn own_account(&mut self, request: &mut Request) {
        request.user = Some(if self.chance(92) { ADMIN } else { super::OWNER });
        request.method = self
            .one(&["PUT", "PUT", "POST", "POST", "POST", "HEAD", "HEAD", "GET", "GET", "DELETE", "OPTIONS", "COPY"]);
        request.target = format!("/v1/AUTH_{}x", self.stem);
        if self.chance(30) {
            request.target.push_str(self.one(&["/c", "/c", "/d", "/c/o", "/", "//"]));
        }
        if matches!(request.method, "PUT" | "POST") {
            match self.random.below(10) {
                0 => Self::set(request, "X-Account-Meta-Color", "blue"),
                1 => Self::set(request, "X-Remove-Account-Meta-Color", "x"),
                2 => Self::set(request, "X-Account-Meta-Color", ""),
                3 => {
                    let value = self.one(&["100", "0", "abc", "-1", ""]);
                    Self::set(request, "X-Account-Meta-Quota-Bytes", value);
                }
                4 => {
                    let value = self.one(&["100", "0", "abc", ""]);
                    let policy = self.one(&["gold", "silver", "nowhere"]);
                    Self::set(request, &format!("X-Account-Quota-Bytes-Policy-{policy}"), value);
                }
                5 => {
                    let value = self.one(&[
                        "{\"read-only\":[\"test:tester3\"]}",
                        "{\"admin\":[\"test:tester\"]}",
                        "{\"read-write\":[\"test:tester3\"],\"other\":[]}",
                        "{\"read-only\":\"test:tester3\"}",
                        "not json",
                        "[]",
                        "",
                    ]);
                    Self::set(request, "X-Account-Access-Control", value);
                }
                6 => self.metadata_of("Account", request),
                7 => Self::set(request, "X-Account-Meta-", "nameless"),
                _ => {}
            }
        } else if matches!(request.method, "GET" | "HEAD") && self.chance(50) {
            let query =
                self.one(&["?format=json", "?format=xml", "?limit=1", "?limit=10001", "?marker=c", "?prefix=%ff"]);
            request.target.push_str(query);
        }
    }

    /// Where a limit's outcome may stay: nowhere others look.
    fn somewhere(&mut self, request: &mut Request) -> &'static str {
        match self.random.below(3) {
            0 => {
                request.user = Some(ADMIN);
                request.method = self.one(&["POST", "PUT"]);
                request.target = format!("/v1/AUTH_{}x", self.stem);
                "Account"
            }
            1 => {
                request.method = self.one(&["POST", "PUT"]);
                request.target = format!("/v1/AUTH_test/{}limits{}", self.stem, self.random.below(3));
                "Container"
            }
            _ => {
                request.method = self.one(&["POST", "PUT", "PUT"]);
                request.target = format!("/v1/AUTH_test/{}a/limits{}", self.stem, self.random.below(3));
                "Object"
            }
        }
    }

    fn metadata(&mut self, request: &mut Request) {
        let kind = self.somewhere(request);
        self.metadata_of(kind, request);
    }

    fn metadata_of(&mut self, kind: &str, request: &mut Request) {
        match self.random.below(4) {
            0 => {
                let length = self.around(128);
                Self::set(request, &format!("X-{kind}-Meta-{}", "n".repeat(length)), "v");
            }
            1 => {
                let length = self.around(256);
                Self::set(request, &format!("X-{kind}-Meta-Long"), "v".repeat(length));
            }
            2 => {
                // Two bytes each: limits count bytes.
                let length = self.around(128);
                Self::set(request, &format!("X-{kind}-Meta-Wide"), "\u{e7}".repeat(length));
            }
            _ => {
                for number in 0..self.around(90) {
                    Self::set(request, &format!("X-{kind}-Meta-N{number}"), "v");
                }
            }
        }
    }

    /// 4,096 bytes of names and values.
    fn total(&mut self, request: &mut Request) {
        let kind = self.somewhere(request);
        for number in 0..15 {
            Self::set(request, &format!("X-{kind}-Meta-T{number:02}"), "v".repeat(253));
        }
        let rest = self.around(256);
        Self::set(request, &format!("X-{kind}-Meta-Rest"), "v".repeat(rest.min(256) - 4));
        if rest > 256 {
            Self::set(request, &format!("X-{kind}-Meta-1"), "");
        }
    }

    fn header(&mut self, request: &mut Request) {
        request.method = self.one(&["GET", "PUT", "HEAD"]);
        request.target = self.path(true);
        let limit = self.one(&["line", "value", "much"]);
        let name = self.one(&["X-Other", "User-Agent", "Referer"]);
        let length = match limit {
            // The name, a colon, a space and the line's end count.
            "line" => self.around(8192) - name.len() - 4,
            "value" => self.around(8192),
            _ => 30_000,
        };
        Self::set(request, name, "v".repeat(length));
    }

    /// 126 fields: host, token and length are three of them.
    fn many_headers(&mut self, request: &mut Request) {
        request.method = self.one(&["GET", "HEAD"]);
        request.target = self.path(true);
        request.user = Some(super::OWNER);
        for number in 0..self.around(126 - 2) {
            Self::set(request, &format!("X-Many-{number}"), "v");
        }
    }

    /// 8,192 bytes with the method and the version.
    fn request_line(&mut self, request: &mut Request) {
        request.method = self.one(&["GET", "HEAD", "PUT"]);
        request.target = format!("{}?x=", self.path(false));
        let length = self.around(8192) - request.method.len() - request.target.len() - "  HTTP/1.1\r\n".len();
        request.target.push_str(&"q".repeat(length));
    }

    /// Lengths that are refused before a byte of the body.
    fn length(&mut self, request: &mut Request) {
        request.method = "PUT";
        request.target = self.path(true);
        // Not `+1`: Swift takes it, and waits a minute for the byte.
        let length = self.one(&["5368709123", "99999999999", "abc", "-1", "", " 0 "]);
        Self::set(request, "Content-Length", length);
    }

    fn names(&mut self, request: &mut Request) {
        match self.random.below(3) {
            0 => {
                let length = self.around(256);
                request.user = Some(ADMIN);
                request.method = self.one(&["HEAD", "POST", "PUT"]);
                request.target = format!("/v1/AUTH_{}{}", self.stem, "a".repeat(length - self.stem.len() - 5));
            }
            1 => {
                let length = self.around(256);
                request.method = self.one(&["PUT", "GET", "DELETE"]);
                request.target = format!("/v1/AUTH_test/{}{}", self.stem, "c".repeat(length - self.stem.len()));
            }
            _ => {
                // Two bytes each.
                let length = self.around(512);
                request.method = self.one(&["PUT", "GET", "HEAD", "DELETE", "POST"]);
                request.target = format!("/v1/AUTH_test/{}a/{}", self.stem, "%C3%A7".repeat(length));
            }
        }
    }

    fn listing_limit(&mut self, request: &mut Request) {
        let limit = self.around(10_000);
        let format = self.one(&["json", "xml", "plain"]);
        let path = if self.chance(50) { self.path(false) } else { format!("/v1/AUTH_test?prefix={}&x=", self.stem) };
        let joined = if path.contains('?') { '&' } else { '?' };
        request.method = self.one(&["GET", "HEAD"]);
        request.target = format!("{path}{joined}limit={limit}&format={format}");
        if request.target.starts_with("/v1/AUTH_test?") {
            request.method = "HEAD";
        }
    }

    fn manifest_limit(&mut self, request: &mut Request) {
        request.method = "PUT";
        request.target = format!("/v1/AUTH_test/{}a/limits?multipart-manifest=put", self.stem);
        let one = format!("{{\"path\": \"{}a/one\"}}", self.stem);
        request.body = format!("[{}]", vec![one.as_str(); self.around(1000)].join(",")).into_bytes();
    }

    fn delete_list_limit(&mut self, request: &mut Request) {
        request.method = "POST";
        request.target = "/v1/AUTH_test?bulk-delete".to_owned();
        Self::set(request, "Content-Type", "text/plain");
        Self::set(request, "Accept", "application/json");
        match self.random.below(3) {
            0 => request.body = format!("{}c/o\n", self.stem).repeat(10_001).into_bytes(),
            1 => {
                let length = self.around(1024 + 256 + 2) - 1;
                request.body = format!("{}/o\n", "c".repeat(length)).into_bytes();
            }
            _ => {
                // Encoded three times as long.
                let length = self.around(3 * (1024 + 256 + 2)) / 3;
                request.body = format!("{}/{}\n", self.stem, "%63".repeat(length - self.stem.len() - 1)).into_bytes();
            }
        }
    }
}
