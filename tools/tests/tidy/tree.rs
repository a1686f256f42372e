//! The sources and documents of the workspace, as git would hand them out, in memory.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Path from the workspace's root → text.
pub struct Tree {
    pub files: BTreeMap<String, String>,
    root: PathBuf,
}

impl Tree {
    pub fn of_the_workspace() -> Tree {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("tools lies in the workspace").to_owned();
        let mut tree = Tree { files: BTreeMap::new(), root: root.clone() };
        tree.walk(&root);
        tree
    }

    /// Adds or replaces a file, or adds to one if the text starts with `+`.
    pub fn plant(&mut self, path: &str, text: &str) {
        match text.strip_prefix('+') {
            Some(more) => self.files.entry(path.to_owned()).or_default().push_str(more),
            None => drop(self.files.insert(path.to_owned(), text.to_owned())),
        }
    }

    /// Rust sources under a folder of the workspace.
    pub fn sources<'a>(&'a self, under: &'a str) -> impl Iterator<Item = (&'a str, &'a str)> + 'a {
        self.all().filter(move |(path, _)| path.starts_with(under) && path.ends_with(".rs"))
    }

    pub fn all(&self) -> impl Iterator<Item = (&str, &str)> {
        self.files.iter().map(|(path, text)| (path.as_str(), text.as_str()))
    }

    /// Whether a file or folder of that name is there.
    pub fn exists(&self, path: &str) -> bool {
        let folder = format!("{}/", path.trim_end_matches('/'));
        self.files.contains_key(path)
            || self.files.keys().any(|file| file.starts_with(&folder))
            || self.root.join(path).exists()
    }

    fn walk(&mut self, folder: &Path) {
        for entry in std::fs::read_dir(folder).expect("a folder of the workspace").flatten() {
            let path = entry.path();
            let name = entry.file_name().to_string_lossy().into_owned();
            if path.is_dir() {
                if !["target", ".git", "vectors", "martlet-data"].contains(&name.as_str()) {
                    self.walk(&path);
                }
            } else if ["rs", "md", "toml"].iter().any(|end| path.extension().is_some_and(|e| e == *end)) {
                let text = std::fs::read_to_string(&path).expect("UTF-8");
                let path = path.strip_prefix(&self.root).expect("below the root").to_string_lossy().into_owned();
                self.files.insert(path, text);
            }
        }
    }
}
