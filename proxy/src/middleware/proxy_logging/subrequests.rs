//! The second proxy-logging, next to the application: a line for each request that middleware makes on its own.
//!
//! The client's own request has its line already, so it passes. Questions about accounts and containers that are answered from
//! each core's facts have no line.

use super::statsd::Statsd;
use super::{Entry, Settings};
use crate::pipeline::Application;
use crate::request::ClientRequest;
use base::http::server::{BodyError, BodySource, Finished, LocalFuture, RequestBody, Response, ResponseBody};
use base::io::{self, Job};
use bytes::Bytes;
use std::cell::Cell;
use std::io::{Error, ErrorKind};
use std::rc::Rc;

/// The layer.
pub(crate) struct Subrequests {
    settings: Rc<Settings>,
    statsd: Option<Rc<Statsd>>,
    next: Rc<dyn Application>,
}

impl Subrequests {
    pub(crate) fn new(settings: Rc<Settings>, next: Rc<dyn Application>) -> Subrequests {
        let statsd = settings.statsd.clone().map(Statsd::start);
        Subrequests { settings, statsd, next }
    }
}

impl Application for Subrequests {
    fn call(&self, mut request: ClientRequest) -> Job<Response> {
        let Some(source) = request.source else { return self.next.call(request) };
        let entry = Entry::of_subrequest(&self.settings, &request, source, io::unix_time());
        let entry = entry.with_statsd(self.statsd.as_ref());
        let received = Rc::new(Cell::new(0));
        if request.body.length() != Some(0) {
            let length = request.body.length();
            let counted = Counted { body: request.body, received: Rc::clone(&received) };
            request.body = RequestBody::streaming(length, Box::new(counted));
        }
        let answer = self.next.call(request);
        Job::new(async move { follow(entry, received, answer.await) })
    }

    fn knower(&self) -> Option<&dyn Application> {
        Some(&*self.next)
    }
}

/// The line is written when the body of the answer has gone, read or not.
fn follow(mut entry: Entry, received: Rc<Cell<u64>>, mut response: Response) -> Response {
    entry.answered(&response, io::unix_time());
    let mut line = Line { entry, received, sent: 0, complete: true };
    match response.body {
        ResponseBody::Stream { length, source } => {
            line.complete = false;
            response.body = ResponseBody::Stream { length, source: Box::new(Followed { source, length, line }) };
        }
        ResponseBody::Full(ref bytes) => line.sent = bytes.len() as u64,
        ResponseBody::Empty => {}
    }
    response
}

/// Writes itself at its end.
struct Line {
    entry: Entry,
    received: Rc<Cell<u64>>,
    sent: u64,
    complete: bool,
}

impl Drop for Line {
    fn drop(&mut self) {
        let finished = Finished { received: self.received.get(), sent: self.sent, complete: self.complete };
        self.entry.write(&finished);
    }
}

struct Followed {
    source: Box<dyn BodySource>,
    length: Option<u64>,
    line: Line,
}

impl BodySource for Followed {
    fn next(&mut self) -> LocalFuture<'_, Option<std::io::Result<Bytes>>> {
        Box::pin(async {
            let piece = self.source.next().await;
            match &piece {
                Some(Ok(bytes)) => self.line.sent += bytes.len() as u64,
                Some(Err(_)) => {}
                None => self.line.complete = true,
            }
            // Who knows the length need not ask for the end.
            self.line.complete |= self.length == Some(self.line.sent);
            piece
        })
    }
}

/// A request's body, counted.
struct Counted {
    body: RequestBody,
    received: Rc<Cell<u64>>,
}

impl BodySource for Counted {
    fn next(&mut self) -> LocalFuture<'_, Option<std::io::Result<Bytes>>> {
        Box::pin(async {
            Some(match self.body.next().await? {
                Ok(bytes) => {
                    self.received.set(self.received.get() + bytes.len() as u64);
                    Ok(bytes)
                }
                Err(BodyError::Disconnected) => Err(Error::from(ErrorKind::UnexpectedEof)),
                Err(BodyError::TimedOut) => Err(Error::from(ErrorKind::TimedOut)),
                Err(BodyError::Malformed) => Err(Error::from(ErrorKind::InvalidData)),
            })
        })
    }
}
