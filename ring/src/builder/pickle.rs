//! Core: as much of Python's pickle as a `.builder` file needs: data only, no code is ever named but `array.array`.
//!
//! Read: protocols 0x80 02 to 04, the opcodes of plain values. Written: protocol 2 without a memo, which Python reads.
//! Containers are kept in an arena while reading, because an opcode may fill a list that the memo already shares.

use super::BuilderError;

/// A Python value.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Pickled {
    None,
    Bool(bool),
    Int(i64),
    Float(f64),
    Text(String),
    List(Vec<Pickled>),
    Tuple(Vec<Pickled>),
    Dict(Vec<(Pickled, Pickled)>),
    /// `array.array(typecode, numbers)`.
    Array(char, Vec<u32>),
}

/// Reads one pickle.
pub(super) fn load(bytes: &[u8]) -> Result<Pickled, BuilderError> {
    let mut reader = Reader { bytes, at: 0, nodes: Vec::new(), stack: Vec::new(), marks: Vec::new(), memo: Vec::new() };
    let root = reader.run().ok_or_else(|| {
        BuilderError::new(format!("the builder file is damaged, or no builder, at byte {}", reader.at))
    })?;
    // A memo can name one list twice, and so a small file a huge value.
    let mut budget = bytes.len().saturating_mul(EXPANSION_MAX);
    expand(&reader.nodes, root, 0, &mut budget).ok_or_else(|| BuilderError::new("the builder file nests without end"))
}

/// Writes one pickle of protocol 2.
pub(super) fn dump(value: &Pickled) -> Vec<u8> {
    let mut out = vec![0x80, 2];
    write(value, &mut out);
    out.push(b'.');
    out
}

type At = usize;

#[derive(Clone, Debug)]
enum Node {
    None,
    Bool(bool),
    Int(i64),
    Float(f64),
    Text(String),
    List(Vec<At>),
    Tuple(Vec<At>),
    Dict(Vec<(At, At)>),
    ArrayClass,
    Array(char, Vec<u32>),
}

struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
    nodes: Vec<Node>,
    stack: Vec<At>,
    marks: Vec<usize>,
    memo: Vec<Option<At>>,
}

impl Reader<'_> {
    /// `None` for anything that is not understood.
    fn run(&mut self) -> Option<At> {
        // Ends: each turn takes at least one byte.
        loop {
            match self.byte()? {
                0x80 => {
                    self.byte().filter(|protocol| (2..=4).contains(protocol))?;
                }
                0x95 => {
                    self.take(8)?;
                }
                b'.' => return self.stack.pop(),
                b'(' => self.marks.push(self.stack.len()),
                b'q' => {
                    let at = usize::from(self.byte()?);
                    self.remember(at)?;
                }
                b'r' => {
                    let at = self.u32()? as usize;
                    self.remember(at)?;
                }
                0x94 => self.remember(self.memo.len())?,
                b'h' => {
                    let at = usize::from(self.byte()?);
                    self.recall(at)?;
                }
                b'j' => {
                    let at = self.u32()? as usize;
                    self.recall(at)?;
                }
                opcode @ (b'a' | b'e' | b's' | b'u' | b't' | 0x85..=0x87 | b'R') => self.combine(opcode)?,
                opcode => {
                    let node = self.scalar(opcode)?;
                    self.push(node);
                }
            }
        }
    }

    fn scalar(&mut self, opcode: u8) -> Option<Node> {
        Some(match opcode {
            b'N' => Node::None,
            0x88 => Node::Bool(true),
            0x89 => Node::Bool(false),
            b'K' => Node::Int(i64::from(self.byte()?)),
            b'M' => Node::Int(i64::from(u16::from_le_bytes(self.chunk()?))),
            b'J' => Node::Int(i64::from(i32::from_le_bytes(self.chunk()?))),
            0x8a => {
                let length = usize::from(self.byte()?);
                Node::Int(long(self.take(length)?)?)
            }
            b'G' => Node::Float(f64::from_be_bytes(self.chunk()?)),
            b'X' => {
                let length = self.u32()? as usize;
                self.text(length)?
            }
            // 'U' and 'T' are Python 2's strings.
            0x8c | b'U' => {
                let length = usize::from(self.byte()?);
                self.text(length)?
            }
            b'T' => {
                let length = self.u32()? as usize;
                self.text(length)?
            }
            b']' => Node::List(Vec::new()),
            b')' => Node::Tuple(Vec::new()),
            b'}' => Node::Dict(Vec::new()),
            b'c' => {
                // Module and name.
                let known = self.line()? == b"array" && self.line()? == b"array";
                known.then_some(Node::ArrayClass)?
            }
            _ => return None,
        })
    }

    fn combine(&mut self, opcode: u8) -> Option<()> {
        let count = match opcode {
            b'e' | b'u' | b't' => self.stack.len().checked_sub(self.marks.pop()?)?,
            b's' | b'R' | 0x86 => 2,
            0x87 => 3,
            _ => 1,
        };
        let items = self.stack.split_off(self.stack.len().checked_sub(count)?);
        match opcode {
            b't' | 0x85..=0x87 => self.push(Node::Tuple(items)),
            b'R' => {
                let array = self.array(&items)?;
                self.push(array);
            }
            _ => {
                let target = *self.stack.last()?;
                match (self.nodes.get_mut(target)?, opcode) {
                    (Node::List(list), b'a' | b'e') => list.extend(items),
                    (Node::Dict(pairs), b's' | b'u') => {
                        let (chunks, []) = items.as_chunks::<2>() else { return None };
                        pairs.extend(chunks.iter().map(|[name, value]| (*name, *value)));
                    }
                    _ => return None,
                }
            }
        }
        Some(())
    }

    /// `array(typecode, [numbers])`.
    fn array(&self, items: &[At]) -> Option<Node> {
        let [class, arguments] = items else { return None };
        let (Node::ArrayClass, Node::Tuple(arguments)) = (self.nodes.get(*class)?, self.nodes.get(*arguments)?) else {
            return None;
        };
        let [typecode, numbers] = arguments.as_slice() else { return None };
        let (Node::Text(typecode), Node::List(numbers)) = (self.nodes.get(*typecode)?, self.nodes.get(*numbers)?)
        else {
            return None;
        };
        let numbers = numbers.iter().map(|at| match self.nodes.get(*at) {
            Some(Node::Int(number)) => u32::try_from(*number).ok(),
            _ => None,
        });
        Some(Node::Array(typecode.chars().next()?, numbers.collect::<Option<_>>()?))
    }

    fn push(&mut self, node: Node) {
        self.stack.push(self.nodes.len());
        self.nodes.push(node);
    }

    fn remember(&mut self, at: usize) -> Option<()> {
        // Python counts up; a jump would only waste memory.
        if at > self.bytes.len() {
            return None;
        }
        if self.memo.len() <= at {
            self.memo.resize(at + 1, None);
        }
        *self.memo.get_mut(at)? = Some(*self.stack.last()?);
        Some(())
    }

    fn recall(&mut self, at: usize) -> Option<()> {
        self.stack.push((*self.memo.get(at)?)?);
        Some(())
    }

    fn text(&mut self, length: usize) -> Option<Node> {
        Some(Node::Text(std::str::from_utf8(self.take(length)?).ok()?.to_owned()))
    }

    fn line(&mut self) -> Option<&[u8]> {
        let length = self.bytes.get(self.at..)?.iter().position(|byte| *byte == b'\n')?;
        let line = self.bytes.get(self.at..self.at + length)?;
        self.at += length + 1;
        Some(line)
    }

    fn u32(&mut self) -> Option<u32> {
        self.chunk().map(u32::from_le_bytes)
    }

    fn byte(&mut self) -> Option<u8> {
        self.chunk().map(|[byte]: [u8; 1]| byte)
    }

    fn chunk<const N: usize>(&mut self) -> Option<[u8; N]> {
        self.take(N)?.try_into().ok()
    }

    fn take(&mut self, length: usize) -> Option<&[u8]> {
        let end = self.at.checked_add(length)?;
        let taken = self.bytes.get(self.at..end)?;
        self.at = end;
        Some(taken)
    }
}

/// Little-endian two's complement of up to eight bytes.
fn long(bytes: &[u8]) -> Option<i64> {
    if bytes.len() > 8 {
        return None;
    }
    let fill = if bytes.last().is_some_and(|byte| byte & 0x80 != 0) { 0xff } else { 0 };
    let mut wide = [fill; 8];
    wide.iter_mut().zip(bytes).for_each(|(wide, byte)| *wide = *byte);
    Some(i64::from_le_bytes(wide))
}

fn expand(nodes: &[Node], at: At, depth: usize, budget: &mut usize) -> Option<Pickled> {
    *budget = budget.checked_sub(1)?;
    if depth > DEPTH_MAX {
        return None;
    }
    let mut each = |items: &[At]| items.iter().map(|at| expand(nodes, *at, depth + 1, budget)).collect::<Option<_>>();
    Some(match nodes.get(at)? {
        Node::None => Pickled::None,
        Node::Bool(value) => Pickled::Bool(*value),
        Node::Int(value) => Pickled::Int(*value),
        Node::Float(value) => Pickled::Float(*value),
        Node::Text(value) => Pickled::Text(value.clone()),
        Node::List(items) => Pickled::List(each(items)?),
        Node::Tuple(items) => Pickled::Tuple(each(items)?),
        Node::Dict(pairs) => {
            let mut expanded = Vec::new();
            for (name, value) in pairs {
                let name = expand(nodes, *name, depth + 1, budget)?;
                expanded.push((name, expand(nodes, *value, depth + 1, budget)?));
            }
            Pickled::Dict(expanded)
        }
        Node::Array(typecode, numbers) => {
            *budget = budget.checked_sub(numbers.len())?;
            Pickled::Array(*typecode, numbers.clone())
        }
        Node::ArrayClass => return None,
    })
}

fn write(value: &Pickled, out: &mut Vec<u8>) {
    match value {
        Pickled::None => out.push(b'N'),
        Pickled::Bool(value) => out.push(if *value { 0x88 } else { 0x89 }),
        Pickled::Int(value) => write_int(*value, out),
        Pickled::Float(value) => {
            out.push(b'G');
            out.extend(value.to_be_bytes());
        }
        Pickled::Text(text) => {
            out.push(b'X');
            out.extend((text.len() as u32).to_le_bytes());
            out.extend(text.as_bytes());
        }
        Pickled::List(items) => {
            out.extend(b"](");
            items.iter().for_each(|item| write(item, out));
            out.push(b'e');
        }
        Pickled::Tuple(items) => {
            out.push(b'(');
            items.iter().for_each(|item| write(item, out));
            out.push(b't');
        }
        Pickled::Dict(pairs) => {
            out.extend(b"}(");
            for (name, value) in pairs {
                write(name, out);
                write(value, out);
            }
            out.push(b'u');
        }
        Pickled::Array(typecode, numbers) => {
            out.extend(b"carray\narray\n");
            write(&Pickled::Text(typecode.to_string()), out);
            out.extend(b"](");
            numbers.iter().for_each(|number| write_int(i64::from(*number), out));
            out.extend(b"e\x86R");
        }
    }
}

fn write_int(value: i64, out: &mut Vec<u8>) {
    if let Ok(byte) = u8::try_from(value) {
        out.extend([b'K', byte]);
    } else if let Ok(short) = u16::try_from(value) {
        out.push(b'M');
        out.extend(short.to_le_bytes());
    } else if let Ok(int) = i32::try_from(value) {
        out.push(b'J');
        out.extend(int.to_le_bytes());
    } else {
        out.extend([0x8a, 8]);
        out.extend(value.to_le_bytes());
    }
}

/// A builder's dict of lists of dicts needs four.
const DEPTH_MAX: usize = 20;
/// Addresses and names are shared, so a value may be somewhat larger than its file.
const EXPANSION_MAX: usize = 8;
