//! One end: a connection that sends exactly the bytes that were made, and reads an answer as strictly as a proxy would.

use std::collections::BTreeMap;
use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

/// A request, as bytes, less the token and the host.
#[derive(Clone, Debug)]
pub struct Request {
    pub method: &'static str,
    pub target: String,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
    pub chunked: bool,
    /// `account:user` and key; `None` comes without a token.
    pub user: Option<(&'static str, &'static str)>,
}

impl Request {
    /// Without anything but a method and a target.
    pub fn anonymous(method: &'static str, target: &str) -> Request {
        let (headers, body) = (Vec::new(), Vec::new());
        Request { method, target: target.to_owned(), headers, body, chunked: false, user: None }
    }
}

/// What came back.
#[derive(Clone, Debug, Default)]
pub struct Answer {
    pub status: u16,
    /// Lower-case names; several values in the order they came.
    pub headers: BTreeMap<String, Vec<String>>,
    pub body: Vec<u8>,
}

/// Stands in a target for the last version that this end named.
pub const VERSION: &str = "{version}";

/// A server and what it gave us.
pub struct Endpoint {
    pub address: String,
    version: String,
    connection: Option<TcpStream>,
    tokens: BTreeMap<&'static str, String>,
}

impl Endpoint {
    pub fn new(address: &str) -> Endpoint {
        Endpoint {
            address: address.trim().to_owned(),
            version: "null".to_owned(),
            connection: None,
            tokens: BTreeMap::new(),
        }
    }

    /// Sends it; once more over a fresh connection when the old one was closed meanwhile.
    pub fn send(&mut self, request: &Request) -> Answer {
        let token = request.user.map(|(user, key)| self.token(user, key));
        let bytes = self.bytes(request, token.as_deref());
        for _ in 0..2 {
            if let Ok(answer) = self.exchange(&bytes, request.method == "HEAD") {
                // A preflight is about the container; one end says `null` there.
                if request.method != "OPTIONS"
                    && let Some(named) = answer.headers.get("x-object-version-id").and_then(|values| values.first())
                {
                    self.version.clone_from(named);
                }
                return self.without_address(answer);
            }
            self.connection = None;
        }
        Answer::default()
    }

    /// Forgets the version: the next names are others.
    pub fn forget(&mut self) {
        self.version = "null".to_owned();
    }

    /// Each end names itself in its redirects.
    fn without_address(&self, mut answer: Answer) -> Answer {
        if let Some(values) = answer.headers.get_mut("location") {
            values.iter_mut().for_each(|value| *value = value.replace(&self.address, "HOST"));
        }
        answer
    }

    fn token(&mut self, user: &'static str, key: &'static str) -> String {
        if let Some(token) = self.tokens.get(user) {
            return token.clone();
        }
        let mut request = Request::anonymous("GET", "/auth/v1.0");
        request.headers = vec![("X-Auth-User".to_owned(), user.to_owned()), ("X-Auth-Key".to_owned(), key.to_owned())];
        let bytes = self.bytes(&request, None);
        let answer = self.exchange(&bytes, false).unwrap();
        let token =
            answer.headers.get("x-auth-token").unwrap_or_else(|| panic!("{user} at {}: {answer:?}", self.address));
        self.tokens.insert(user, token[0].clone());
        token[0].clone()
    }

    fn bytes(&self, request: &Request, token: Option<&str>) -> Vec<u8> {
        let target = request.target.replace(VERSION, &self.version);
        let mut head = format!("{} {target} HTTP/1.1\r\n", request.method);
        if !request.headers.iter().any(|(name, _)| name == "Host") {
            head.push_str(&format!("Host: {}\r\n", self.address));
        }
        if let Some(token) = token {
            head.push_str(&format!("X-Auth-Token: {token}\r\n"));
        }
        for (name, value) in &request.headers {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        let has_body = matches!(request.method, "PUT" | "POST" | "DELETE" | "COPY") || !request.body.is_empty();
        if request.chunked {
            head.push_str("Transfer-Encoding: chunked\r\n");
        } else if has_body && !request.headers.iter().any(|(name, _)| name == "Content-Length") {
            head.push_str(&format!("Content-Length: {}\r\n", request.body.len()));
        }
        head.push_str("\r\n");
        let mut bytes = head.into_bytes();
        if request.chunked {
            for piece in request.body.chunks(7) {
                bytes.extend_from_slice(format!("{:x}\r\n", piece.len()).as_bytes());
                bytes.extend_from_slice(piece);
                bytes.extend_from_slice(b"\r\n");
            }
            bytes.extend_from_slice(b"0\r\n\r\n");
        } else {
            bytes.extend_from_slice(&request.body);
        }
        bytes
    }

    fn exchange(&mut self, bytes: &[u8], is_head: bool) -> io::Result<Answer> {
        let mut stream = match self.connection.take() {
            Some(stream) => stream,
            None => TcpStream::connect(&self.address)?,
        };
        stream.set_read_timeout(Some(Duration::from_secs(60)))?;
        stream.set_nodelay(true)?;
        stream.write_all(bytes)?;
        let mut reader = Reader { stream, bytes: Vec::new(), at: 0 };
        let mut answer = reader.head()?;
        while answer.status == 100 {
            answer = reader.head()?;
        }
        let of = |name: &str| answer.headers.get(name).map(|values| values.join(",").to_ascii_lowercase());
        let closes = of("connection").is_some_and(|value| value.contains("close"));
        let chunked = of("transfer-encoding").is_some_and(|value| value.contains("chunked"));
        let length = of("content-length").and_then(|text| text.parse().ok());
        answer.body = match length {
            _ if is_head || matches!(answer.status, 204 | 304) => Vec::new(),
            _ if chunked => reader.chunks()?,
            Some(length) => reader.take(length)?,
            None => reader.rest()?,
        };
        // A request whose length is a lie leaves nobody knows what behind.
        let is_whole = !bytes_claim_length(bytes);
        if is_whole && !closes && (chunked || length.is_some() || is_head || matches!(answer.status, 204 | 304)) {
            self.connection = Some(reader.stream);
        }
        Ok(answer)
    }
}

/// Whether the head has the length that the generator made up.
fn bytes_claim_length(bytes: &[u8]) -> bool {
    let head = String::from_utf8_lossy(bytes);
    let (head, body) = head.split_once("\r\n\r\n").unwrap_or((&head, ""));
    let length = head.lines().find_map(|line| line.strip_prefix("Content-Length: "));
    body.is_empty() && length.is_some_and(|length| length != "0")
}

struct Reader {
    stream: TcpStream,
    bytes: Vec<u8>,
    at: usize,
}

impl Reader {
    fn more(&mut self) -> io::Result<usize> {
        let mut piece = [0; 16_384];
        let count = self.stream.read(&mut piece)?;
        self.bytes.extend_from_slice(&piece[..count]);
        Ok(count)
    }

    fn line(&mut self) -> io::Result<String> {
        loop {
            if let Some(end) = self.bytes[self.at..].iter().position(|&byte| byte == b'\n') {
                let line = String::from_utf8_lossy(&self.bytes[self.at..self.at + end]).trim_end().to_owned();
                self.at += end + 1;
                return Ok(line);
            }
            if self.more()? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
    }

    fn head(&mut self) -> io::Result<Answer> {
        let status = self.line()?;
        let status = status.split(' ').nth(1).and_then(|code| code.parse().ok()).ok_or(io::ErrorKind::InvalidData)?;
        let mut headers: BTreeMap<String, Vec<String>> = BTreeMap::new();
        loop {
            let line = self.line()?;
            let Some((name, value)) = line.split_once(':') else { break };
            headers.entry(name.to_ascii_lowercase()).or_default().push(value.trim().to_owned());
        }
        Ok(Answer { status, headers, body: Vec::new() })
    }

    fn take(&mut self, length: usize) -> io::Result<Vec<u8>> {
        while self.bytes.len() - self.at < length {
            if self.more()? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
        let taken = self.bytes[self.at..self.at + length].to_vec();
        self.at += length;
        Ok(taken)
    }

    fn rest(&mut self) -> io::Result<Vec<u8>> {
        while self.more()? > 0 {}
        Ok(self.bytes[self.at..].to_vec())
    }

    fn chunks(&mut self) -> io::Result<Vec<u8>> {
        let mut body = Vec::new();
        loop {
            let size = usize::from_str_radix(self.line()?.split(';').next().unwrap_or_default().trim(), 16);
            let size = size.map_err(|_| io::ErrorKind::InvalidData)?;
            body.extend(self.take(size)?);
            self.line()?;
            if size == 0 {
                return Ok(body);
            }
        }
    }
}
