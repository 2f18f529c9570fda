//! The bound on the memory of a snapshot: a file of a few megabytes may unpack to any size.

use std::io::{self, BufRead, Read};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Most bytes of one object. *Source*: etcd's default for a request is 1.5 MiB, and indented JSON takes a few times as much as what etcd stores.
const OBJECT: usize = 16 << 20;
/// Most objects. *Source*: Kubernetes, "Considerations for large clusters": 150,000 pods, and their owners, slices and policies.
const OBJECTS: usize = 4_000_000;
/// Most bytes of objects of rare kinds, which are kept as they are.
const RARE: usize = 1 << 30;

#[derive(Debug, Default)]
pub(crate) struct Bound {
    /// Bytes of the file since the last object began.
    read: Arc<AtomicUsize>,
    /// Bytes of the present object.
    size: usize,
    objects: usize,
    rare: usize,
}

/// A file of which each object has a bound.
#[derive(Debug)]
pub(crate) struct BoundedReader<R> {
    input: R,
    read: Arc<AtomicUsize>,
}

impl Bound {
    pub(super) fn wrap<R>(&self, input: R) -> BoundedReader<R> {
        self.read.store(0, Ordering::Relaxed);
        BoundedReader { input, read: Arc::clone(&self.read) }
    }

    pub(super) fn begin(&mut self, size: Option<usize>) -> Result<(), String> {
        let read = self.read.swap(0, Ordering::Relaxed);
        self.size = size.unwrap_or(read);
        self.objects += 1;
        if self.objects > OBJECTS {
            return Err(format!("more than {OBJECTS} objects: no cluster has as many"));
        }
        if self.rare > RARE {
            return Err(format!(
                "more than {} MiB of objects that are neither nodes, pods, workloads nor Services: no cluster has as many",
                RARE >> 20
            ));
        }
        Ok(())
    }

    /// The present object is kept as it is.
    pub(super) const fn keep(&mut self) {
        self.rare = self.rare.saturating_add(self.size);
    }
}

impl<R: BufRead> BufRead for BoundedReader<R> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        if self.read.load(Ordering::Relaxed) > OBJECT {
            return Err(io::Error::other(format!("one object has more than {} MiB", OBJECT >> 20)));
        }
        self.input.fill_buf()
    }

    fn consume(&mut self, bytes: usize) {
        // No other part reads meanwhile, and JSON is read byte by byte.
        self.read.store(self.read.load(Ordering::Relaxed) + bytes, Ordering::Relaxed);
        self.input.consume(bytes);
    }
}

impl<R: BufRead> Read for BoundedReader<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.fill_buf()?.read(buffer)?;
        self.consume(read);
        Ok(read)
    }
}
