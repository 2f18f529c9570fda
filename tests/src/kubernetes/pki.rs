//! A cluster's certificates.

use std::path::Path;

use anyhow::{Context, Result};
use rcgen::{
    BasicConstraints, Certificate, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
};

/// Whom a certificate names.
#[derive(Debug, Clone)]
pub struct Identity {
    /// PEM.
    pub certificate: String,
    /// PEM.
    pub key: String,
}

impl Identity {
    /// Writes both into one file, as kubelet keeps its own.
    ///
    /// # Errors
    /// What the file system says.
    pub fn write(&self, path: &Path) -> Result<()> {
        let text = format!("{}{}", self.certificate, self.key);
        std::fs::write(path, text).with_context(|| format!("write {}", path.display()))
    }
}

/// The cluster's certificate authority.
#[derive(Debug)]
pub struct Authority {
    certificate: Certificate,
    issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    /// A new one.
    ///
    /// # Errors
    /// No key can be made.
    pub fn new() -> Result<Self> {
        let mut parameters = CertificateParams::new(Vec::new())?;
        parameters.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        parameters.distinguished_name.push(DnType::CommonName, "kubernetes");
        let key = KeyPair::generate()?;
        let certificate = parameters.self_signed(&key)?;
        Ok(Self { certificate, issuer: Issuer::new(parameters, key) })
    }

    /// PEM.
    pub fn certificate(&self) -> String {
        self.certificate.pem()
    }

    /// The API server's.
    ///
    /// # Errors
    /// It cannot be signed.
    pub fn server(&self, names: &[&str]) -> Result<Identity> {
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        self.sign(CertificateParams::new(names)?, ExtendedKeyUsagePurpose::ServerAuth)
    }

    /// A client's: its user, and its group.
    ///
    /// # Errors
    /// It cannot be signed.
    pub fn client(&self, user: &str, group: &str) -> Result<Identity> {
        self.sign(client(user, group)?, ExtendedKeyUsagePurpose::ClientAuth)
    }

    /// A kubelet's.
    ///
    /// # Errors
    /// It cannot be signed.
    pub fn kubelet(&self, node: &str) -> Result<Identity> {
        self.client(&format!("system:node:{node}"), "system:nodes")
    }

    /// A kubelet's that was good until 2020.
    ///
    /// # Errors
    /// It cannot be signed.
    pub fn expired_kubelet(&self, node: &str) -> Result<Identity> {
        let mut parameters = client(&format!("system:node:{node}"), "system:nodes")?;
        parameters.not_after = rcgen::date_time_ymd(2020, 1, 1);
        self.sign(parameters, ExtendedKeyUsagePurpose::ClientAuth)
    }

    fn sign(&self, mut parameters: CertificateParams, usage: ExtendedKeyUsagePurpose) -> Result<Identity> {
        parameters.extended_key_usages = vec![usage];
        let key = KeyPair::generate()?;
        let certificate = parameters.signed_by(&key, &self.issuer)?;
        Ok(Identity { certificate: certificate.pem(), key: key.serialize_pem() })
    }
}

fn client(user: &str, group: &str) -> Result<CertificateParams> {
    let mut parameters = CertificateParams::new(Vec::new())?;
    parameters.distinguished_name.push(DnType::OrganizationName, group);
    parameters.distinguished_name.push(DnType::CommonName, user);
    Ok(parameters)
}
