//! Core: Python pickles, read as data and written in the few forms Swift reads. No I/O, no clock, no async.
//!
//! # Invariants
//!
//! - Reading makes values, never calls: only the globals named in `reduce` have a meaning, every other one is an error.
//! - Work is linear in the input: containers cannot be fetched from the memo, and the bytes that memo references may copy are
//!   bounded, so a small pickle cannot grow into a large value.
//! - Integers beyond 64 bits, recursive values and Python objects are errors. Nothing Swift writes has them.
//!
//! Text is kept as the UTF-8 bytes of the pickle (Python may have put lone surrogates there), so no reading step can fail on it.

/// Longest pickle: far above what headers allow, far below what hurts.
pub const INPUT_MAX: usize = 1024 * 1024;
/// Bytes that memo references may copy.
const COPIED_MAX: usize = 4 * INPUT_MAX;
/// Values under construction at one time.
const STACK_MAX: usize = 64 * 1024;

/// A value of a pickle.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// None.
    None,
    /// True or False.
    Bool(bool),
    /// An integer.
    Int(i64),
    /// A float.
    Float(f64),
    /// Text (Python 3 `str`, Python 2 `unicode`) as UTF-8.
    Text(Vec<u8>),
    /// Bytes (Python 3 `bytes`, Python 2 `str`).
    Bytes(Vec<u8>),
    /// A list.
    List(Vec<Value>),
    /// A tuple.
    Tuple(Vec<Value>),
    /// A dict in order of insertion.
    Dict(Vec<(Value, Value)>),
    /// A global that may be called; never part of a result.
    Global(Global),
}

/// The callables that Swift's pickles use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Global {
    /// `_codecs.encode`
    Encode,
    /// `bytes`
    Bytes,
    /// `dict`
    Dict,
    /// `copy_reg._reconstructor`
    Reconstructor,
    /// `swift.common.header_key_dict.HeaderKeyDict`
    HeaderKeyDict,
}

/// Why bytes are no pickle we read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PickleError {
    /// What was found.
    pub message: &'static str,
}

impl Value {
    /// The bytes of text or bytes.
    pub fn as_bytes(&self) -> Option<&[u8]> {
        match self {
            Value::Text(bytes) | Value::Bytes(bytes) => Some(bytes),
            _ => None,
        }
    }
    /// The value of a text key of a dict.
    pub fn get(&self, key: &str) -> Option<&Value> {
        let Value::Dict(items) = self else { return None };
        items.iter().find(|(name, _)| name.as_bytes() == Some(key.as_bytes())).map(|(_, value)| value)
    }
    /// Text.
    pub fn text(text: &str) -> Value {
        Value::Text(text.as_bytes().to_vec())
    }
}

/// Reads one pickle of any protocol up to 4.
pub fn read(bytes: &[u8]) -> Result<Value, PickleError> {
    if bytes.len() > INPUT_MAX {
        return error("longer than any pickle of an object store");
    }
    let mut reader = Reader { rest: bytes, stack: Vec::new(), marks: Vec::new(), memo: Vec::new(), copied: 0 };
    // Ends: every turn consumes at least one byte.
    loop {
        let opcode = reader.byte()?;
        if opcode == b'.' {
            let value = reader.pop()?;
            return if matches!(value, Value::Global(_)) { error("a global as value") } else { Ok(value) };
        }
        reader.step(opcode)?;
    }
}

fn error<T>(message: &'static str) -> Result<T, PickleError> {
    Err(PickleError { message })
}

/// Longest memo; indexes beyond are refused, so that one cannot ask for a huge table.
const MEMO_MAX: usize = 64 * 1024;

struct Reader<'a> {
    rest: &'a [u8],
    stack: Vec<Value>,
    marks: Vec<usize>,
    /// `None`: never put, or a container, which cannot be fetched.
    memo: Vec<Option<Value>>,
    copied: usize,
}

impl<'a> Reader<'a> {
    fn step(&mut self, opcode: u8) -> Result<(), PickleError> {
        match opcode {
            b'}' | b']' | b')' | b'(' | b't' | b'l' | b'd' | b'u' | b's' | b'a' | b'e' | 0x85..=0x87 => {
                self.container(opcode)
            }
            b'p' | b'q' | b'r' | 0x94 | b'g' | b'h' | b'j' => self.remember(opcode),
            b'c' | 0x93 | b'R' => self.call(opcode),
            0x80 => self.take(1).map(|_| ()),
            0x95 => self.take(8).map(|_| ()),
            b'0' => self.pop().map(|_| ()),
            _ => {
                let value = self.scalar(opcode)?;
                self.push(value)
            }
        }
    }

    fn scalar(&mut self, opcode: u8) -> Result<Value, PickleError> {
        Ok(match opcode {
            b'N' => Value::None,
            0x88 => Value::Bool(true),
            0x89 => Value::Bool(false),
            b'K' => Value::Int(i64::from(self.byte()?)),
            b'M' => Value::Int(i64::from(u16::from_le_bytes(self.array()?))),
            b'J' => Value::Int(i64::from(i32::from_le_bytes(self.array()?))),
            b'I' | b'L' => number(self.line()?)?,
            0x8a => self.long()?,
            b'G' => Value::Float(f64::from_be_bytes(self.array()?)),
            b'F' => match std::str::from_utf8(self.line()?).ok().and_then(|text| text.parse().ok()) {
                Some(float) => Value::Float(float),
                None => return error("a malformed float"),
            },
            b'X' => Value::Text(self.counted_by_four()?),
            0x8c => Value::Text(self.counted_by_one()?),
            b'V' => Value::Text(unescape_unicode(self.line()?)?),
            b'U' | b'C' => Value::Bytes(self.counted_by_one()?),
            b'T' | b'B' => Value::Bytes(self.counted_by_four()?),
            b'S' => Value::Bytes(unescape_string(self.line()?)?),
            _ => return error("an opcode that no data of Swift has"),
        })
    }

    fn container(&mut self, opcode: u8) -> Result<(), PickleError> {
        match opcode {
            b'}' => self.push(Value::Dict(Vec::new())),
            b']' => self.push(Value::List(Vec::new())),
            b')' => self.push(Value::Tuple(Vec::new())),
            b'(' => {
                self.marks.push(self.stack.len());
                if self.marks.len() > STACK_MAX { error("too deep") } else { Ok(()) }
            }
            b't' => {
                let items = self.since_mark()?;
                self.push(Value::Tuple(items))
            }
            b'l' => {
                let items = self.since_mark()?;
                self.push(Value::List(items))
            }
            b'd' => {
                let items = self.since_mark()?;
                self.push(Value::Dict(Vec::new()))?;
                self.set_items(items)
            }
            b'u' => {
                let items = self.since_mark()?;
                self.set_items(items)
            }
            b's' => {
                let (value, key) = (self.pop()?, self.pop()?);
                self.set_items(vec![key, value])
            }
            b'a' => {
                let item = self.pop()?;
                self.append_items(vec![item])
            }
            b'e' => {
                let items = self.since_mark()?;
                self.append_items(items)
            }
            _ => {
                let count = usize::from(opcode - 0x84);
                let Some(from) = self.stack.len().checked_sub(count) else { return error("an empty stack") };
                let items = self.stack.split_off(from);
                self.push(Value::Tuple(items))
            }
        }
    }

    fn set_items(&mut self, items: Vec<Value>) -> Result<(), PickleError> {
        let Some(Value::Dict(dict)) = self.stack.last_mut() else { return error("items without a dict") };
        let mut items = items.into_iter();
        while let Some(key) = items.next() {
            let Some(value) = items.next() else { return error("a key without a value") };
            dict.push((key, value));
        }
        Ok(())
    }

    fn append_items(&mut self, items: Vec<Value>) -> Result<(), PickleError> {
        let Some(Value::List(list)) = self.stack.last_mut() else { return error("items without a list") };
        list.extend(items);
        Ok(())
    }

    fn remember(&mut self, opcode: u8) -> Result<(), PickleError> {
        let index = match opcode {
            b'q' | b'h' => usize::from(self.byte()?),
            b'r' | b'j' => self.length()?,
            0x94 => self.memo.len(),
            _ => match number(self.line()?)? {
                Value::Int(index) => usize::try_from(index).unwrap_or(usize::MAX),
                _ => return error("a malformed memo index"),
            },
        };
        if matches!(opcode, b'g' | b'h' | b'j') {
            let Some(Some(value)) = self.memo.get(index) else {
                return error("a memo reference to nothing or a container");
            };
            self.copied += value.as_bytes().map_or(1, <[u8]>::len);
            let value = value.clone();
            return if self.copied > COPIED_MAX { error("too many repetitions") } else { self.push(value) };
        }
        if index >= MEMO_MAX {
            return error("a memo index out of bounds");
        }
        if index >= self.memo.len() {
            self.memo.resize(index + 1, None);
        }
        let kept = match self.stack.last() {
            None => return error("an empty stack"),
            Some(Value::List(_) | Value::Tuple(_) | Value::Dict(_)) => None,
            Some(value) => {
                self.copied += value.as_bytes().map_or(1, <[u8]>::len);
                Some(value.clone())
            }
        };
        if self.copied > COPIED_MAX {
            return error("too many repetitions");
        }
        if let Some(place) = self.memo.get_mut(index) {
            *place = kept;
        }
        Ok(())
    }

    fn call(&mut self, opcode: u8) -> Result<(), PickleError> {
        match opcode {
            b'c' => {
                let (module, name) = (self.line()?, self.line()?);
                self.push(Value::Global(global(module, name)?))
            }
            0x93 => {
                let (name, module) = (self.pop()?, self.pop()?);
                let (Some(module), Some(name)) = (module.as_bytes(), name.as_bytes()) else {
                    return error("no global");
                };
                let global = global(module, name)?;
                self.push(Value::Global(global))
            }
            _ => {
                let (Value::Tuple(arguments), Value::Global(global)) = (self.pop()?, self.pop()?) else {
                    return error("a call of no global");
                };
                let value = reduce(global, arguments)?;
                self.push(value)
            }
        }
    }

    fn since_mark(&mut self) -> Result<Vec<Value>, PickleError> {
        match self.marks.pop() {
            Some(mark) if mark <= self.stack.len() => Ok(self.stack.split_off(mark)),
            _ => error("no mark"),
        }
    }

    fn push(&mut self, value: Value) -> Result<(), PickleError> {
        self.stack.push(value);
        if self.stack.len() > STACK_MAX { error("too many values") } else { Ok(()) }
    }

    fn pop(&mut self) -> Result<Value, PickleError> {
        self.stack.pop().ok_or(PickleError { message: "an empty stack" })
    }

    fn byte(&mut self) -> Result<u8, PickleError> {
        let [byte] = self.array()?;
        Ok(byte)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], PickleError> {
        let Some((head, rest)) = self.rest.split_first_chunk::<N>() else { return error("cut short") };
        self.rest = rest;
        Ok(*head)
    }

    fn take(&mut self, length: usize) -> Result<Vec<u8>, PickleError> {
        let Some((head, rest)) = self.rest.split_at_checked(length) else { return error("cut short") };
        self.rest = rest;
        Ok(head.to_vec())
    }

    fn length(&mut self) -> Result<usize, PickleError> {
        let length = u32::from_le_bytes(self.array()?);
        usize::try_from(length).map_err(|_| PickleError { message: "cut short" })
    }

    fn counted_by_four(&mut self) -> Result<Vec<u8>, PickleError> {
        let length = self.length()?;
        self.take(length)
    }

    fn counted_by_one(&mut self) -> Result<Vec<u8>, PickleError> {
        let length = usize::from(self.byte()?);
        self.take(length)
    }

    /// A little-endian two's complement integer of up to eight bytes.
    fn long(&mut self) -> Result<Value, PickleError> {
        let bytes = self.counted_by_one()?;
        if bytes.len() > 8 {
            return error("an integer beyond 64 bits");
        }
        let fill = if bytes.last().is_some_and(|byte| byte & 0x80 != 0) { 0xff } else { 0 };
        let mut wide = [fill; 8];
        for (target, source) in wide.iter_mut().zip(&bytes) {
            *target = *source;
        }
        Ok(Value::Int(i64::from_le_bytes(wide)))
    }

    fn line(&mut self) -> Result<&'a [u8], PickleError> {
        let Some(end) = self.rest.iter().position(|&byte| byte == b'\n') else { return error("cut short") };
        let (line, rest) = self.rest.split_at(end);
        self.rest = rest.get(1..).unwrap_or_default();
        Ok(line)
    }
}

fn number(line: &[u8]) -> Result<Value, PickleError> {
    match line {
        b"00" => return Ok(Value::Bool(false)),
        b"01" => return Ok(Value::Bool(true)),
        _ => {}
    }
    let text = std::str::from_utf8(line).unwrap_or_default();
    match text.strip_suffix('L').unwrap_or(text).parse() {
        Ok(number) => Ok(Value::Int(number)),
        Err(_) => error("a malformed integer"),
    }
}

fn global(module: &[u8], name: &[u8]) -> Result<Global, PickleError> {
    match (module, name) {
        (b"_codecs", b"encode") => Ok(Global::Encode),
        (b"__builtin__" | b"builtins", b"bytes") => Ok(Global::Bytes),
        (b"__builtin__" | b"builtins", b"dict") => Ok(Global::Dict),
        (b"copy_reg" | b"copyreg", b"_reconstructor") => Ok(Global::Reconstructor),
        (b"swift.common.header_key_dict", b"HeaderKeyDict") => Ok(Global::HeaderKeyDict),
        _ => error("a global that is not allowed"),
    }
}

fn reduce(global: Global, arguments: Vec<Value>) -> Result<Value, PickleError> {
    let mut arguments = arguments.into_iter();
    match (global, arguments.next(), arguments.next(), arguments.next()) {
        (Global::Bytes, None, _, _) => Ok(Value::Bytes(Vec::new())),
        (Global::Dict, None, _, _) => Ok(Value::Dict(Vec::new())),
        (Global::Encode, Some(Value::Text(text)), Some(Value::Text(codec)), None)
            if matches!(codec.as_slice(), b"latin1" | b"latin-1") =>
        {
            to_latin1(&text).map(Value::Bytes).ok_or(PickleError { message: "text beyond latin-1" })
        }
        (
            Global::Reconstructor,
            Some(Value::Global(Global::HeaderKeyDict)),
            Some(Value::Global(Global::Dict)),
            Some(dict),
        ) if matches!(dict, Value::Dict(_)) => Ok(dict),
        _ => error("a call that no data of Swift has"),
    }
}

/// UTF-8 text whose characters are all below 256, as those bytes.
pub fn to_latin1(text: &[u8]) -> Option<Vec<u8>> {
    std::str::from_utf8(text).ok()?.chars().map(|character| u8::try_from(u32::from(character)).ok()).collect()
}

/// Bytes as the UTF-8 of their latin-1 decoding.
pub fn from_latin1(bytes: &[u8]) -> Vec<u8> {
    bytes.iter().copied().map(char::from).collect::<String>().into_bytes()
}

/// Python's raw-unicode-escape: latin-1, `\uXXXX` and `\UXXXXXXXX`.
fn unescape_unicode(line: &[u8]) -> Result<Vec<u8>, PickleError> {
    let mut text = Vec::with_capacity(line.len());
    let mut rest = line;
    // Ends: every turn takes at least one byte off `rest`.
    while let Some((&byte, tail)) = rest.split_first() {
        let digits = match (byte, tail.first()) {
            (b'\\', Some(b'u')) => 4,
            (b'\\', Some(b'U')) => 8,
            _ => {
                text.extend_from_slice(char::from(byte).encode_utf8(&mut [0; 4]).as_bytes());
                rest = tail;
                continue;
            }
        };
        let hex = tail.get(1..=digits).and_then(|hex| std::str::from_utf8(hex).ok());
        let Some(code) = hex.and_then(|hex| u32::from_str_radix(hex, 16).ok()) else {
            return error("a malformed escape");
        };
        push_code_point(&mut text, code)?;
        rest = tail.get(digits + 1..).unwrap_or_default();
    }
    Ok(text)
}

/// A code point as UTF-8; a lone surrogate as its three bytes, as Python writes it in other protocols.
fn push_code_point(text: &mut Vec<u8>, code: u32) -> Result<(), PickleError> {
    if let Some(character) = char::from_u32(code) {
        text.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
        return Ok(());
    }
    if code > 0x10_ffff {
        return error("a code point out of range");
    }
    let low = |shift: u32| u8::try_from((code >> shift) & 0x3f).unwrap_or(0) | 0x80;
    text.extend_from_slice(&[u8::try_from(code >> 12).unwrap_or(0) | 0xe0, low(6), low(0)]);
    Ok(())
}

/// A quoted string as Python 2's `repr` writes it.
fn unescape_string(line: &[u8]) -> Result<Vec<u8>, PickleError> {
    let inner = match line {
        [b'\'', inner @ .., b'\''] | [b'"', inner @ .., b'"'] => inner,
        _ => return error("a string without quotes"),
    };
    let mut bytes = Vec::with_capacity(inner.len());
    let mut rest = inner.iter().copied();
    while let Some(byte) = rest.next() {
        if byte != b'\\' {
            bytes.push(byte);
            continue;
        }
        bytes.push(match rest.next() {
            Some(b'n') => b'\n',
            Some(b'r') => b'\r',
            Some(b't') => b'\t',
            Some(quoted @ (b'\\' | b'\'' | b'"')) => quoted,
            Some(b'x') => {
                let hex: Vec<u8> = rest.by_ref().take(2).collect();
                match std::str::from_utf8(&hex).ok().and_then(|hex| u8::from_str_radix(hex, 16).ok()) {
                    Some(byte) if hex.len() == 2 => byte,
                    _ => return error("a malformed escape"),
                }
            }
            _ => return error("a malformed escape"),
        });
    }
    Ok(bytes)
}

/// Writes a value in protocol 2, without memo: `X` for text, `U`/`T` for bytes.
pub fn write(value: &Value) -> Vec<u8> {
    let mut bytes = vec![0x80, 2];
    put(&mut bytes, value);
    bytes.push(b'.');
    bytes
}

fn put(out: &mut Vec<u8>, value: &Value) {
    match value {
        Value::None => out.push(b'N'),
        Value::Bool(true) => out.push(0x88),
        Value::Bool(false) => out.push(0x89),
        Value::Int(number) => match i32::try_from(*number) {
            Ok(small) => {
                out.push(b'J');
                out.extend_from_slice(&small.to_le_bytes());
            }
            Err(_) => {
                out.extend_from_slice(&[0x8a, 8]);
                out.extend_from_slice(&number.to_le_bytes());
            }
        },
        Value::Float(float) => {
            out.push(b'G');
            out.extend_from_slice(&float.to_be_bytes());
        }
        Value::Text(text) => put_counted(out, b'X', text),
        Value::Bytes(bytes) => match u8::try_from(bytes.len()) {
            Ok(length) => {
                out.extend_from_slice(&[b'U', length]);
                out.extend_from_slice(bytes);
            }
            Err(_) => put_counted(out, b'T', bytes),
        },
        Value::List(items) => {
            out.extend_from_slice(b"](");
            items.iter().for_each(|item| put(out, item));
            out.push(b'e');
        }
        Value::Tuple(items) => {
            out.push(b'(');
            items.iter().for_each(|item| put(out, item));
            out.push(b't');
        }
        Value::Dict(items) => {
            out.extend_from_slice(b"}(");
            for (key, value) in items {
                put(out, key);
                put(out, value);
            }
            out.push(b'u');
        }
        Value::Global(_) => unreachable!("no reader gives a global and no writer makes one"),
    }
}

fn put_counted(out: &mut Vec<u8>, opcode: u8, bytes: &[u8]) {
    let length = u32::try_from(bytes.len()).expect("what is written came from headers, which are far below 4 GiB");
    out.push(opcode);
    out.extend_from_slice(&length.to_le_bytes());
    out.extend_from_slice(bytes);
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_global_outside_the_list_is_refused() {
        assert!(read(b"cos\nsystem\n(S'true'\ntR.").is_err());
        assert!(read(b"cswift.common.swob\nHeaderKeyDict\n.").is_err());
    }

    #[test]
    fn repetition_is_bounded() {
        let mut bomb = b"X\x00\x00\x04\x00".to_vec();
        bomb.extend(std::iter::repeat_n(b'x', 256 * 1024));
        bomb.extend(b"q\x00(");
        bomb.extend(b"h\x00".repeat(1000));
        bomb.extend(b"l.");
        assert_eq!(read(&bomb), error("too many repetitions"));
    }

    #[test]
    fn text_of_protocol_zero_is_unescaped() {
        assert_eq!(read("V\\u2603\u{e9}\n.".replace('\u{e9}', "").as_bytes()), Ok(Value::text("\u{2603}")));
        assert_eq!(read(b"S'a\\x41\\'\\n'\n."), Ok(Value::Bytes(b"aA'\n".to_vec())));
    }

    fn values() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::None),
            any::<bool>().prop_map(Value::Bool),
            any::<i64>().prop_map(Value::Int),
            ".{0,300}".prop_map(|text| Value::text(&text)),
            proptest::collection::vec(any::<u8>(), 0..300).prop_map(Value::Bytes),
        ];
        leaf.prop_recursive(3, 40, 8, |inner| {
            prop_oneof![
                proptest::collection::vec(inner.clone(), 0..6).prop_map(Value::List),
                proptest::collection::vec(inner.clone(), 0..6).prop_map(Value::Tuple),
                proptest::collection::vec((inner.clone(), inner), 0..6).prop_map(Value::Dict),
            ]
        })
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_back(value in values()) {
            prop_assert_eq!(read(&write(&value)), Ok(value));
        }

        #[test]
        fn any_bytes_are_read_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
            let _ = read(&bytes);
        }
    }
}
