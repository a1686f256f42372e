//! A form while it is read: its parts one after the other, and a file that is lent to the request which stores it.

use super::Refused;
use base::http::Headers;
use base::http::mime::{Event, MimeReader};
use base::http::server::{BodyError, BodySource, LocalFuture, RequestBody};
use bytes::Bytes;
use std::cell::Cell;
use std::io;
use std::rc::Rc;

/// Most bytes of a value; what stands behind them is forgotten.
pub(super) const VALUE_MAX: usize = 4096;

/// The body and how far it was read.
pub(super) struct Form {
    reader: MimeReader,
    body: RequestBody,
    is_within_part: bool,
    /// What went wrong while the form was lent.
    trouble: Option<Refused>,
}

impl Form {
    pub(super) fn new(reader: MimeReader, body: RequestBody) -> Form {
        Form { reader, body, is_within_part: false, trouble: None }
    }

    /// The fields of the next part; `None` at the end.
    pub(super) async fn next_part(&mut self) -> Result<Option<Headers>, Refused> {
        match self.event().await? {
            Event::Part(fields) => {
                self.is_within_part = true;
                Ok(Some(fields))
            }
            Event::Data(_) | Event::PartEnd | Event::End => Ok(None),
        }
    }

    /// The part's first bytes, as many as a value may have; the rest is passed over.
    pub(super) async fn value(&mut self) -> Result<Vec<u8>, Refused> {
        let mut value = Vec::new();
        // Ends: each turn takes bytes of the part.
        while let Some(bytes) = self.piece().await? {
            let space = VALUE_MAX - value.len();
            value.extend_from_slice(bytes.get(..space).unwrap_or(&bytes));
        }
        Ok(value)
    }

    /// Passes over what is left of the part.
    pub(super) async fn skip_part(&mut self) -> Result<(), Refused> {
        while self.piece().await?.is_some() {}
        Ok(())
    }

    /// A request body of the part's bytes, and where the form comes back to when the request is done with it. A file longer
    /// than that is cut off and remembered.
    pub(super) fn lend(self, file_bytes_max: u64) -> (RequestBody, Lent) {
        let place = Rc::new(Cell::new(None));
        let file = File { form: Some(self), left: file_bytes_max, place: Rc::clone(&place) };
        (RequestBody::streaming(None, Box::new(file)), Lent(place))
    }

    /// The next bytes of the part; `None` at its end.
    async fn piece(&mut self) -> Result<Option<Bytes>, Refused> {
        if !self.is_within_part {
            return Ok(None);
        }
        match self.event().await? {
            Event::Data(bytes) => Ok(Some(bytes)),
            Event::Part(_) | Event::PartEnd | Event::End => {
                self.is_within_part = false;
                Ok(None)
            }
        }
    }

    async fn event(&mut self) -> Result<Event, Refused> {
        // Ends: each turn takes a piece of the body, or answers.
        loop {
            if let Some(event) = self.reader.event().map_err(Refused::Mime)? {
                return Ok(event);
            }
            match self.body.next().await {
                Some(Ok(bytes)) => self.reader.feed(&bytes),
                Some(Err(error)) => return Err(Refused::Body(error)),
                None => self.reader.end_of_input(),
            }
        }
    }
}

/// Where a lent form comes back to.
pub(super) struct Lent(Rc<Cell<Option<Form>>>);

impl Lent {
    /// The form, after the request; the error is what went wrong while its file was read.
    pub(super) fn take_back(self) -> Result<Form, Refused> {
        // Whoever stores an object lets go of the body before he answers; if not, the client is as good as gone.
        let mut form = self.0.take().ok_or(Refused::Body(BodyError::Disconnected))?;
        match form.trouble.take() {
            Some(trouble) => Err(trouble),
            None => Ok(form),
        }
    }
}

/// The bytes of one file, as the body of a request.
struct File {
    form: Option<Form>,
    left: u64,
    place: Rc<Cell<Option<Form>>>,
}

impl File {
    async fn piece(&mut self) -> Option<io::Result<Bytes>> {
        let form = self.form.as_mut()?;
        let refused = match form.piece().await {
            Ok(None) => return None,
            Ok(Some(bytes)) => match self.left.checked_sub(bytes.len() as u64) {
                Some(left) => {
                    self.left = left;
                    return Some(Ok(bytes));
                }
                None => Refused::Invalid("max_file_size exceeded"),
            },
            Err(refused) => refused,
        };
        let kind = match &refused {
            Refused::Body(BodyError::TimedOut) => io::ErrorKind::TimedOut,
            Refused::Body(BodyError::Disconnected) => io::ErrorKind::UnexpectedEof,
            _ => io::ErrorKind::InvalidData,
        };
        form.trouble = Some(refused);
        Some(Err(kind.into()))
    }
}

impl BodySource for File {
    fn next(&mut self) -> LocalFuture<'_, Option<io::Result<Bytes>>> {
        Box::pin(self.piece())
    }
}

impl Drop for File {
    fn drop(&mut self) {
        self.place.set(self.form.take());
    }
}
