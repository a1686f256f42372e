//! Core: which fields a signed request may bring and its answer may show: lists of names, with `*` at the end for all that begin so.

use base::http::Headers;

/// Names of fields, lower case; those with a `*` at the end stand for all that begin so.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Names(Vec<String>);

impl Names {
    /// From the words of an option.
    pub fn new(words: &[String]) -> Names {
        Names(words.iter().map(|word| word.to_ascii_lowercase()).collect())
    }

    fn hold(&self, name: &[u8]) -> bool {
        let lower = name.to_ascii_lowercase();
        self.0.iter().any(|known| match known.strip_suffix('*') {
            Some(beginning) => lower.starts_with(beginning.as_bytes()),
            None => lower == known.as_bytes(),
        })
    }

    /// As written, for `/info`.
    pub(super) fn words(&self) -> &[String] {
        &self.0
    }
}

/// What is taken out of one direction, and the exceptions.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filter {
    /// `…_remove_headers`
    pub remove: Names,
    /// `…_allow_headers`
    pub allow: Names,
}

impl Filter {
    /// Takes out of `headers` what does not pass.
    pub(super) fn apply(&self, headers: &mut Headers) {
        headers.retain(|name, _| self.allow.hold(name) || !self.remove.hold(name));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exceptions_count_before_what_is_removed() {
        let names = |text: &str| Names::new(&text.split(' ').map(str::to_owned).collect::<Vec<_>>());
        let filter =
            Filter { remove: names("X-Object-Meta-* x-secret"), allow: names("x-object-meta-public-* X-SECRET-not") };
        let mut headers = Headers::new();
        for name in [
            "X-Object-Meta-Color",
            "x-object-meta-",
            "X-Object-Meta-Public-Color",
            "X-Object-Meta",
            "X-Secret",
            "X-Secret-Not",
            "X-Secrets",
        ] {
            headers.append(name, "1");
        }
        filter.apply(&mut headers);
        let left: Vec<_> = headers.iter().map(|(name, _)| String::from_utf8_lossy(name).into_owned()).collect();
        assert_eq!(left, ["X-Object-Meta-Public-Color", "X-Object-Meta", "X-Secret-Not", "X-Secrets"]);
    }
}
