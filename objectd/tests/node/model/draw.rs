//! Core: random operations. Old and equal timestamps, offsets, expiry and content-type times are frequent: that is where the rules are.

use super::map::{Content, Operation, Verb};
use base::checksum::md5_hex;
use base::io::sim::Random;
use base::timestamp::Timestamp;
use bytes::{Bytes, BytesMut};
use std::rc::Rc;

/// Draws the operations of one writer.
pub struct Draw {
    random: Random,
    /// Moves on with every operation.
    now: u64,
    last: Timestamp,
    next_number: u64,
    /// Sizes around this and the block size are frequent.
    pack_limit: usize,
}

impl Draw {
    /// `start`: seconds since 1970.
    pub fn new(seed: u64, start: u64, pack_limit: usize) -> Self {
        let now = start * 100_000;
        Draw { random: Random::new(seed), now, last: Timestamp::ZERO, next_number: seed << 32, pack_limit }
    }

    /// One of `count` objects.
    pub fn object(&mut self, count: usize) -> usize {
        self.random.index(count)
    }

    /// The next operation.
    pub fn operation(&mut self) -> Operation {
        self.now += self.random.between(1, 60_000);
        let at = self.timestamp();
        let verb = match self.random.below(100) {
            0..28 => self.put(at),
            28..46 => self.post(at),
            46..56 => Verb::Delete { expected: self.perhaps(0.1).then(|| self.second(at)) },
            56..88 => Verb::Get { range: self.perhaps(0.15).then(|| self.range()) },
            _ => Verb::Head,
        };
        let is_read = matches!(verb, Verb::Get { .. } | Verb::Head);
        let at = if is_read { Timestamp::from_raw(self.now, 0) } else { at };
        Operation { verb, at }
    }

    /// A read of all of an object, now.
    pub fn look(&self) -> Operation {
        Operation { verb: Verb::Get { range: None }, at: Timestamp::from_raw(self.now, 0) }
    }

    /// A PUT of exactly this size, now.
    pub fn put_of(&mut self, size: usize) -> Operation {
        self.now += 1000;
        let at = Timestamp::from_raw(self.now, 0);
        let content = self.content(size);
        let (content_type, meta) = (self.number(), self.number());
        let verb = Verb::Put {
            content,
            content_type,
            meta,
            sysmeta: None,
            delete_at: None,
            unless_there: false,
            of_unknown_length: false,
        };
        Operation { verb, at }
    }

    /// A POST, now.
    pub fn post_now(&mut self) -> Operation {
        self.now += 1000;
        let at = Timestamp::from_raw(self.now, 0);
        Operation { verb: Verb::Post { meta: self.number(), delete_at: None, content_type: None }, at }
    }

    /// A DELETE, now.
    pub fn delete_now(&mut self) -> Operation {
        self.now += 1000;
        Operation { verb: Verb::Delete { expected: None }, at: Timestamp::from_raw(self.now, 0) }
    }

    fn timestamp(&mut self) -> Timestamp {
        let at = match self.random.below(100) {
            0..5 => self.last,
            5..20 => Timestamp::from_raw(self.now - self.random.below(4_000_000), 0),
            20..24 => Timestamp::from_raw(self.now, self.random.between(1, 3)),
            _ => Timestamp::from_raw(self.now, 0),
        };
        self.last = at;
        at
    }

    fn put(&mut self, at: Timestamp) -> Verb {
        let size = self.size();
        Verb::Put {
            content: self.content(size),
            content_type: self.number(),
            meta: self.number(),
            sysmeta: self.perhaps(0.2).then(|| self.number()),
            delete_at: self.perhaps(0.1).then(|| self.second(at)),
            unless_there: self.perhaps(0.05),
            of_unknown_length: self.perhaps(0.2),
        }
    }

    fn post(&mut self, at: Timestamp) -> Verb {
        let delete_at = self.perhaps(0.15).then(|| self.second(at));
        let content_type = self.perhaps(0.4).then(|| {
            let older = at.raw().saturating_sub(self.random.below(2_000_000));
            (self.number(), self.perhaps(0.3).then(|| Timestamp::from_raw(older, 0)))
        });
        Verb::Post { meta: self.number(), delete_at, content_type }
    }

    /// Soon: so that objects expire while the test runs.
    fn second(&mut self, at: Timestamp) -> u64 {
        at.seconds() + self.random.below(60)
    }

    fn range(&mut self) -> (u64, u64) {
        let near = self.perhaps(0.5);
        let first = self.random.below(if near { 100 } else { 150_000 });
        (first, first + self.random.below(70_000))
    }

    fn size(&mut self) -> usize {
        match self.random.below(1000) {
            0..60 => 0,
            60..600 => self.random.index(700),
            600..930 => self.random.index(5000),
            930..980 => self.pack_limit.saturating_sub(2) + self.random.index(5),
            980..995 => 65_534 + self.random.index(5),
            _ => self.random.index(200_000),
        }
    }

    fn content(&mut self, size: usize) -> Rc<Content> {
        let mut random = Random::new(self.number());
        let mut bytes = BytesMut::with_capacity(size + 8);
        while bytes.len() < size {
            bytes.extend_from_slice(&random.bits().to_le_bytes());
        }
        bytes.truncate(size);
        let bytes: Bytes = bytes.freeze();
        Rc::new(Content { etag: md5_hex(&bytes), bytes })
    }

    fn number(&mut self) -> u64 {
        self.next_number += 1;
        self.next_number
    }

    fn perhaps(&mut self, probability: f64) -> bool {
        self.random.chance(probability)
    }
}
