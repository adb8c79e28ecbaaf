//! Opening a store: a folder, or a bucket.

use std::sync::Arc;

use object_store::aws::{AmazonS3Builder, AmazonS3ConfigKey};
use object_store::local::LocalFileSystem;
use object_store::path::Path;
use object_store::prefix::PrefixStore;
use object_store::signer::Signer;
use object_store::{BackoffConfig, ClientOptions, ObjectStore, RetryConfig};

use super::error::{Error, Reason};
use super::{Duration, Inner};
use crate::config::{Config, Environment, StorageUrl};

/// Bytes gathered for a folder: enough that the number of calls costs nothing.
const FILE_PART: usize = 512 << 10;
/// Bytes of a part on S3: no less is allowed, and 10,000 parts make a file of 48 GiB ("Amazon S3 multipart upload limits").
const S3_PART: usize = 5 << 20;

pub(super) fn open(url: &StorageUrl, config: &Config) -> Result<Inner, Error> {
    match url {
        StorageUrl::File(path) => folder(&config.server.data_dir.join(path), config),
        StorageUrl::S3 { bucket, prefix } => s3(url, bucket, prefix, config),
    }
}

fn folder(path: &std::path::Path, config: &Config) -> Result<Inner, Error> {
    let wrong = |failure: &dyn std::fmt::Display| {
        Error::new("file", "open", Reason::Other, failure.to_string())
    };
    let folder = std::path::absolute(path).map_err(|failure| wrong(&failure))?;
    let prefix = Path::from_absolute_path(&folder).map_err(|failure| wrong(&failure))?;
    // Without a folder of its own the store makes what it needs when it writes: a disk that is not there yet, or cannot be
    // written to, is no reason not to start.
    let disk = LocalFileSystem::new().with_fsync(true);
    Ok(Inner {
        kind: "file",
        shown: StorageUrl::File(folder.clone()).to_string(),
        store: Arc::new(PrefixStore::new(disk, prefix)),
        signer: None,
        folder: Some(folder),
        fallback: None,
        part_bytes: FILE_PART,
        timeout: config.storage.timeout,
        secrets: Vec::new(),
    })
}

fn s3(url: &StorageUrl, bucket: &str, prefix: &str, config: &Config) -> Result<Inner, Error> {
    // The first that is installed stays.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let settings = &config.storage;
    let endpoint = settings.s3_endpoint.as_ref();
    let plain = endpoint.map_or(config.server.env == Environment::Development, |one| {
        one.as_str().starts_with("http://")
    });
    // The whole of a download takes as long as its reader; what is bounded is each wait.
    let client = ClientOptions::new()
        .with_allow_http(plain)
        .with_timeout_disabled()
        .with_read_timeout(settings.timeout)
        .with_connect_timeout(settings.timeout.min(Duration::from_secs(5)));
    let retry = RetryConfig {
        backoff: BackoffConfig {
            init_backoff: Duration::from_millis(100),
            max_backoff: Duration::from_secs(2),
            base: 2.0,
        },
        max_retries: settings.retries,
        retry_timeout: settings.timeout,
    };
    let mut builder = AmazonS3Builder::from_env()
        .with_bucket_name(bucket)
        .with_virtual_hosted_style_request(settings.s3_virtual_hosted)
        .with_client_options(client)
        .with_retry(retry);
    if let Some(endpoint) = endpoint {
        builder = builder.with_config(AmazonS3ConfigKey::S3Endpoint, endpoint.as_str());
    }
    if let Some(region) = &settings.s3_region {
        builder = builder.with_region(region.as_str());
    }
    let key = settings.s3_access_key_id.given();
    let secret = settings.s3_secret_access_key.given();
    if let (Some(key), Some(secret)) = (key, secret) {
        builder = builder
            .with_access_key_id(key)
            .with_secret_access_key(secret);
    }
    let secrets = [
        AmazonS3ConfigKey::SecretAccessKey,
        AmazonS3ConfigKey::AccessKeyId,
        AmazonS3ConfigKey::Token,
    ]
    .iter()
    .filter_map(|name| builder.get_config_value(name))
    .collect();
    let bucket = builder
        .build()
        .map_err(|failure| Error::new("s3", "open", Reason::Other, failure.to_string()))?;
    let store = Arc::new(PrefixStore::new(bucket, Path::from(prefix)));
    Ok(Inner {
        kind: "s3",
        shown: url.to_string(),
        store: Arc::clone(&store) as Arc<dyn ObjectStore>,
        signer: Some(store as Arc<dyn Signer>),
        folder: None,
        fallback: None,
        part_bytes: S3_PART,
        timeout: settings.timeout,
        secrets,
    })
}
