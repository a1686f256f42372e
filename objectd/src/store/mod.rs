//! Object bytes of a device. The stock layout: Swift's own files (specs: diskfile).
