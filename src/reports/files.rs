//! Keeps whole results, compressed, in a folder or on S3.

use std::{io, path::Path, sync::Arc};

use async_compression::tokio::bufread::{GzipDecoder, GzipEncoder};
use futures::TryStreamExt;
use object_store::{
    ObjectStore, ObjectStoreExt, aws::AmazonS3Builder, buffered::BufWriter, local::LocalFileSystem,
    prefix::PrefixStore,
};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio_util::io::StreamReader;
use url::Url;

use super::source::GZIP_MAGIC;

/// How much of an upload is in memory at once, per part (S3 wants at least 5 MiB).
const PART_BYTES: usize = 8 << 20;

/// Parts under way at once.
const PARTS_MAX: usize = 2;

/// A place for results: a folder or a bucket. Clones share the connection.
#[derive(Debug, Clone)]
pub struct ResultFiles {
    store: Arc<dyn ObjectStore>,
    /// What every URI begins with, ending in a slash.
    base: Url,
    part_bytes: usize,
}

/// A result that is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredFile {
    /// Where it is: `file:///…` or `s3://…`. [`ResultFiles::get`] takes it.
    pub uri: String,
    /// How many bytes it takes there, compressed.
    pub byte_count: i64,
}

/// Why a result could not be stored or read.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The setting names no place.
    #[error("{url:?} is no place for results: give a folder, file:///folder or s3://bucket/prefix")]
    BadUrl {
        /// The setting.
        url: String,
    },
    /// The folder cannot be made or entered.
    #[error("the folder for results {path:?} cannot be used: make it writable, or name another")]
    Folder {
        /// The folder.
        path: String,
        /// What the system said.
        source: io::Error,
    },
    /// A name that could mean something else to a file system or a URL.
    #[error("{key:?} is no name for a result: use letters, digits, '-', '_', '.' and single '/'")]
    BadKey {
        /// The name.
        key: String,
    },
    /// A result that was stored somewhere else.
    #[error("{uri} is not under {base}: set the place for results back to where it was stored")]
    Elsewhere {
        /// The result.
        uri: String,
        /// Where this store keeps its results.
        base: String,
    },
    /// The place did not do what it was asked.
    #[error("the place for results did not answer")]
    Store(#[from] object_store::Error),
    /// Reading the result or writing it failed half-way; nothing was stored.
    #[error("the result could not be stored")]
    Copy(#[from] io::Error),
}

impl ResultFiles {
    /// Opens a place: a path or `file://` URL (made if missing), or `s3://bucket/prefix` with
    /// credentials, region and endpoint from the usual `AWS_…` variables.
    pub fn open(url: &str) -> Result<Self, Error> {
        let bad_url = || Error::BadUrl { url: without_secrets(url) };
        if !url.contains("://") {
            return if url.is_empty() { Err(bad_url()) } else { Self::folder(Path::new(url)) };
        }
        let parsed = Url::parse(url).map_err(|_| bad_url())?;
        match parsed.scheme() {
            "file" => Self::folder(&parsed.to_file_path().map_err(|()| bad_url())?),
            "s3" => Self::bucket(&parsed).ok_or_else(bad_url)?,
            _ => Err(bad_url()),
        }
    }

    fn folder(path: &Path) -> Result<Self, Error> {
        let unusable = |source| Error::Folder { path: path.display().to_string(), source };
        std::fs::create_dir_all(path).map_err(unusable)?;
        let path = path.canonicalize().map_err(unusable)?;
        let base = Url::from_directory_path(&path)
            .map_err(|()| Error::BadUrl { url: path.display().to_string() })?;
        // A result counts as stored only when it would survive the machine's death.
        let store = LocalFileSystem::new_with_prefix(&path)?.with_fsync(true);
        Ok(Self { store: Arc::new(store), base, part_bytes: PART_BYTES })
    }

    /// None when the URL is more or less than a bucket and a prefix.
    fn bucket(url: &Url) -> Option<Result<Self, Error>> {
        let bucket = url.host_str()?;
        let has_user = !url.username().is_empty() || url.password().is_some();
        if has_user || url.port().is_some() || url.query().is_some() || url.fragment().is_some() {
            return None;
        }
        let prefix = url.path().trim_matches('/');
        let base = match prefix {
            "" => Url::parse(&format!("s3://{bucket}/")).ok()?,
            prefix => Url::parse(&format!("s3://{bucket}/{prefix}/")).ok()?,
        };
        let prefix = object_store::path::Path::from_url_path(prefix).ok()?;
        let built = AmazonS3Builder::from_env().with_bucket_name(bucket).build();
        Some(built.map_err(Error::from).map(|s3| Self {
            store: Arc::new(PrefixStore::new(s3, prefix)),
            base,
            part_bytes: PART_BYTES,
        }))
    }

    /// Stores a file under `key` (`executions/…/1.csv`), compressed, with `.gz` behind the name.
    ///
    /// A file that is gzip already is stored as it is. What was there before is replaced, as a
    /// whole and only at the end.
    pub async fn put_file(&self, key: &str, path: &Path) -> Result<StoredFile, Error> {
        self.put(key, tokio::fs::File::open(path).await?).await
    }

    /// Stores what `content` yields; see [`ResultFiles::put_file`]. Holds a few parts in memory,
    /// however long it is.
    pub async fn put(
        &self,
        key: &str,
        mut content: impl AsyncRead + Send + Unpin,
    ) -> Result<StoredFile, Error> {
        let key = format!("{key}.gz");
        let upload = self.upload(&key)?;
        let mut head = Vec::with_capacity(GZIP_MAGIC.len());
        (&mut content).take(GZIP_MAGIC.len() as u64).read_to_end(&mut head).await?;
        let is_gzip = head == GZIP_MAGIC;
        let content = BufReader::new(io::Cursor::new(head).chain(content));
        let byte_count = if is_gzip {
            copy(content, upload).await?
        } else {
            copy(GzipEncoder::new(content), upload).await?
        };
        Ok(StoredFile {
            uri: format!("{}{key}", self.base),
            byte_count: i64::try_from(byte_count).unwrap_or(i64::MAX),
        })
    }

    /// Opens a stored result by its URI and unpacks it.
    pub async fn get(&self, uri: &str) -> Result<impl AsyncRead + Send + Unpin + use<>, Error> {
        let stream = self.store.get(&self.location_of(uri)?).await?.into_stream();
        let mut unpacked = GzipDecoder::new(StreamReader::new(stream.map_err(io::Error::from)));
        unpacked.multiple_members(true);
        Ok(unpacked)
    }

    /// Deletes a stored result by its URI. One that is not there is deleted already.
    pub async fn delete(&self, uri: &str) -> Result<(), Error> {
        match self.store.delete(&self.location_of(uri)?).await {
            Ok(()) | Err(object_store::Error::NotFound { .. }) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    fn location_of(&self, uri: &str) -> Result<object_store::path::Path, Error> {
        let key = uri
            .strip_prefix(self.base.as_str())
            .ok_or_else(|| Error::Elsewhere { uri: uri.to_owned(), base: self.base.to_string() })?;
        location(key)
    }

    fn upload(&self, key: &str) -> Result<BufWriter, Error> {
        let upload = BufWriter::with_capacity(self.store.clone(), location(key)?, self.part_bytes);
        Ok(upload.with_max_concurrency(PARTS_MAX))
    }
}

/// A URL as it may be shown: without the user and password somebody may have put into it, and
/// without the query.
fn without_secrets(url: &str) -> String {
    let url = url.split(['?', '#']).next().unwrap_or_default();
    match (url.split_once("://"), url.rsplit_once('@')) {
        (Some((scheme, _)), Some((_, place))) => format!("{scheme}://…@{place}"),
        _ => url.to_owned(),
    }
}

async fn copy(mut content: impl AsyncRead + Unpin, mut upload: BufWriter) -> io::Result<u64> {
    match tokio::io::copy(&mut content, &mut upload).await {
        Ok(byte_count) => upload.shutdown().await.map(|()| byte_count),
        Err(error) => {
            // Parts that were sent would be kept, and paid for. What went wrong first is the news.
            let _ = upload.abort().await;
            Err(error)
        }
    }
}

/// The place of a result. Its name means the same in a URL, a folder and a bucket.
fn location(key: &str) -> Result<object_store::path::Path, Error> {
    let bad_key = || Error::BadKey { key: key.to_owned() };
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./".contains(c);
    if !key.chars().all(plain) {
        return Err(bad_key());
    }
    let location = object_store::path::Path::parse(key).map_err(|_| bad_key())?;
    // A path is parsed without the slashes around it: the name must be what is stored.
    if location.as_ref() == key { Ok(location) } else { Err(bad_key()) }
}

#[cfg(test)]
mod tests {
    use rand::{RngCore, SeedableRng, rngs::StdRng};
    use tempfile::TempDir;

    use super::*;

    fn open() -> (TempDir, ResultFiles) {
        let folder = tempfile::tempdir().unwrap();
        let files = ResultFiles::open(folder.path().to_str().unwrap()).unwrap();
        (folder, files)
    }

    async fn read(files: &ResultFiles, uri: &str) -> Vec<u8> {
        let mut content = Vec::new();
        files.get(uri).await.unwrap().read_to_end(&mut content).await.unwrap();
        content
    }

    /// Every file under a folder, half-written ones included.
    fn listing(folder: &Path) -> Vec<String> {
        let mut names = Vec::new();
        for entry in std::fs::read_dir(folder).unwrap().map(Result::unwrap) {
            if entry.file_type().unwrap().is_dir() {
                names.extend(listing(&entry.path()));
            } else {
                names.push(entry.file_name().into_string().unwrap());
            }
        }
        names
    }

    #[tokio::test]
    async fn a_result_is_stored_compressed_and_comes_back_as_it_was() {
        let (folder, files) = open();
        let csv = b"campaign,clicks\nx,1\n".repeat(1000);
        let stored = files.put("executions/e1/1.csv", csv.as_slice()).await.unwrap();

        let path = folder.path().canonicalize().unwrap().join("executions/e1/1.csv.gz");
        assert_eq!(stored.uri, format!("file://{}", path.display()));
        let on_disk = std::fs::read(path).unwrap();
        assert_eq!(i64::try_from(on_disk.len()).unwrap(), stored.byte_count);
        assert!(on_disk.starts_with(&GZIP_MAGIC) && on_disk.len() < csv.len() / 10);
        assert_eq!(read(&files, &stored.uri).await, csv);
    }

    #[tokio::test]
    async fn a_file_that_is_gzip_already_is_stored_as_it_is() {
        let (_folder, files) = open();
        let first = files.put("1.csv", b"a\n1\n".as_slice()).await.unwrap();
        let path = first.uri.strip_prefix("file://").unwrap();
        let second = files.put_file("2.csv", Path::new(path)).await.unwrap();
        assert_eq!(second.byte_count, first.byte_count);
        assert_eq!(read(&files, &second.uri).await, b"a\n1\n");
    }

    #[tokio::test]
    async fn gzip_in_several_members_comes_back_whole() {
        let (_folder, files) = open();
        let mut members = Vec::new();
        for content in ["a\n", "1\n"] {
            GzipEncoder::new(content.as_bytes()).read_to_end(&mut members).await.unwrap();
        }
        let stored = files.put("1.csv", members.as_slice()).await.unwrap();
        assert_eq!(read(&files, &stored.uri).await, b"a\n1\n");
    }

    #[tokio::test]
    async fn a_result_of_many_parts_comes_back_as_it_was() {
        let (_folder, files) = open();
        let files = ResultFiles { part_bytes: 64 << 10, ..files };
        let mut content = vec![0; 1 << 20];
        StdRng::seed_from_u64(7).fill_bytes(&mut content);
        let stored = files.put("large.csv", content.as_slice()).await.unwrap();
        assert!(stored.byte_count >= 1 << 20);
        assert_eq!(read(&files, &stored.uri).await, content);
    }

    #[tokio::test]
    async fn storing_again_replaces_the_result() {
        let (folder, files) = open();
        files.put("1.csv", b"a\n1\n".as_slice()).await.unwrap();
        let stored = files.put("1.csv", b"a\n2\n".as_slice()).await.unwrap();
        assert_eq!(read(&files, &stored.uri).await, b"a\n2\n");
        assert_eq!(listing(folder.path()), ["1.csv.gz"]);
    }

    #[tokio::test]
    async fn a_result_without_a_byte_is_stored_too() {
        let (_folder, files) = open();
        let stored = files.put("1.csv", b"".as_slice()).await.unwrap();
        assert_eq!(read(&files, &stored.uri).await, b"");
    }

    #[tokio::test]
    async fn a_source_that_breaks_off_leaves_what_was_there_before() {
        let (folder, files) = open();
        let files = ResultFiles { part_bytes: 1 << 10, ..files };
        let stored = files.put("1.csv", b"old".as_slice()).await.unwrap();

        let mut noise = vec![0; 64 << 10];
        StdRng::seed_from_u64(7).fill_bytes(&mut noise);
        let broken = futures::stream::iter([
            Ok(bytes::Bytes::from(noise)),
            Err(io::Error::other("connection reset")),
        ]);
        let error = files.put("1.csv", StreamReader::new(broken)).await.unwrap_err();
        assert!(matches!(error, Error::Copy(_)), "{error:?}");
        assert_eq!(read(&files, &stored.uri).await, b"old");
        assert_eq!(listing(folder.path()), ["1.csv.gz"]);
    }

    #[tokio::test]
    async fn a_name_cannot_leave_its_place() {
        let (_folder, files) = open();
        for key in
            ["../1.csv", "/1.csv", "a//1.csv", "a/./1.csv", "a b.csv", "a?b", "a%2e.csv", "ä"]
        {
            let error = files.put(key, b"a".as_slice()).await.unwrap_err();
            assert!(matches!(error, Error::BadKey { .. }), "{key}: {error:?}");
        }
    }

    #[tokio::test]
    async fn a_result_that_was_stored_elsewhere_is_not_looked_for_here() {
        let (_folder, files) = open();
        let error = files.get("s3://bucket/1.csv.gz").await.err().unwrap();
        assert!(matches!(error, Error::Elsewhere { .. }), "{error:?}");
        let missing = format!("{}1.csv.gz", files.base);
        let error = files.get(&missing).await.err().unwrap();
        assert!(matches!(error, Error::Store(object_store::Error::NotFound { .. })), "{error:?}");
    }

    #[test]
    fn a_folder_is_made_and_a_file_url_means_the_same_as_its_path() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("new/results");
        let by_path = ResultFiles::open(path.to_str().unwrap()).unwrap();
        let by_url = ResultFiles::open(&format!("file://{}", path.display())).unwrap();
        assert!(path.is_dir());
        assert_eq!(by_path.base, by_url.base);
    }

    #[test]
    fn a_bucket_is_opened_with_or_without_a_prefix() {
        let base = |url: &str| ResultFiles::open(url).unwrap().base.to_string();
        assert_eq!(base("s3://bucket"), "s3://bucket/");
        assert_eq!(base("s3://bucket/results/amc/"), "s3://bucket/results/amc/");
    }

    #[test]
    fn what_is_no_place_is_refused() {
        for url in [
            "",
            "ftp://host/folder",
            "s3://",
            "s3://key:secret@bucket/x",
            "s3://bucket/x?key=secret",
        ] {
            let error = ResultFiles::open(url).unwrap_err();
            assert!(matches!(error, Error::BadUrl { .. }), "{url}: {error:?}");
            assert!(!format!("{error} {error:?}").contains("secret"), "{error:?}");
        }
        let file = tempfile::NamedTempFile::new().unwrap();
        let error = ResultFiles::open(file.path().to_str().unwrap()).unwrap_err();
        assert!(matches!(error, Error::Folder { .. }), "{error:?}");
    }
}
