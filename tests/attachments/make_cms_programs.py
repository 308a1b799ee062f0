"""Programs in other languages that write CMS messages for make_cms.py: Bouncy Castle (Java), node-forge and PKI.js.

Each reads the folder that it is given (rsa.pem, rsa1024.pem, ec.pem: certificates; *.key: private keys; clear.txt)
and writes its files there.
"""

from __future__ import annotations

BOUNCY_CASTLE = r"""
import java.io.*;
import java.nio.file.*;
import java.security.*;
import java.security.cert.*;
import java.security.interfaces.*;
import javax.crypto.*;
import javax.crypto.spec.*;
import java.security.spec.*;
import org.bouncycastle.asn1.*;
import org.bouncycastle.asn1.cms.*;
import org.bouncycastle.asn1.x509.AlgorithmIdentifier;
import org.bouncycastle.cms.*;
import org.bouncycastle.cms.jcajce.*;
import org.bouncycastle.jce.provider.BouncyCastleProvider;
import org.bouncycastle.operator.*;
import org.bouncycastle.operator.jcajce.*;
import org.bouncycastle.cert.jcajce.*;

public class Maker {
    static String dir;
    static byte[] clear;
    static X509Certificate rsa, small, ec;

    static X509Certificate certificate(String name) throws Exception {
        try (InputStream in = new FileInputStream(dir + "/" + name)) {
            return (X509Certificate) CertificateFactory.getInstance("X.509").generateCertificate(in);
        }
    }

    static void write(String name, byte[] data) throws Exception { Files.write(Paths.get(dir, name), data); }

    static OutputEncryptor cipher(ASN1ObjectIdentifier oid) throws Exception {
        return new JceCMSContentEncryptorBuilder(oid).setProvider("BC").build();
    }

    static byte[] enveloped(ASN1ObjectIdentifier oid, RecipientInfoGenerator... recipients) throws Exception {
        CMSEnvelopedDataGenerator g = new CMSEnvelopedDataGenerator();
        for (RecipientInfoGenerator r : recipients) g.addRecipientInfoGenerator(r);
        return g.generate(new CMSProcessableByteArray(clear), cipher(oid)).getEncoded();
    }

    static byte[] authenticated(ASN1ObjectIdentifier oid, RecipientInfoGenerator... recipients) throws Exception {
        CMSAuthEnvelopedDataGenerator g = new CMSAuthEnvelopedDataGenerator();
        for (RecipientInfoGenerator r : recipients) g.addRecipientInfoGenerator(r);
        return g.generate(new CMSProcessableByteArray(clear), (OutputAEADEncryptor) cipher(oid)).getEncoded();
    }

    static RecipientInfoGenerator transport(X509Certificate to) throws Exception {
        return new JceKeyTransRecipientInfoGenerator(to).setProvider("BC");
    }

    static RecipientInfoGenerator oaep(X509Certificate to) throws Exception {
        JcaAlgorithmParametersConverter c = new JcaAlgorithmParametersConverter();
        AlgorithmIdentifier id = c.getAlgorithmIdentifier(
            org.bouncycastle.asn1.pkcs.PKCSObjectIdentifiers.id_RSAES_OAEP,
            new OAEPParameterSpec("SHA-256", "MGF1", new MGF1ParameterSpec("SHA-256"), PSource.PSpecified.DEFAULT));
        return new JceKeyTransRecipientInfoGenerator(to, id).setProvider("BC");
    }

    static RecipientInfoGenerator byKeyId(X509Certificate to) throws Exception {
        byte[] id = new JcaX509ExtensionUtils().createSubjectKeyIdentifier(to.getPublicKey()).getKeyIdentifier();
        return new JceKeyTransRecipientInfoGenerator(id, to.getPublicKey()).setProvider("BC");
    }

    static RecipientInfoGenerator agreement(String algorithm, PublicKey to, KeyPair own, ASN1ObjectIdentifier kind,
            byte[] id) throws Exception {
        JceKeyAgreeRecipientInfoGenerator g = new JceKeyAgreeRecipientInfoGenerator(
            kind, own.getPrivate(), own.getPublic(), CMSAlgorithm.AES256_WRAP);
        g.setProvider("BC");
        g.addRecipient(id, to);
        return g;
    }

    static RecipientInfoGenerator password(String word, int rounds) throws Exception {
        return new JcePasswordRecipientInfoGenerator(CMSAlgorithm.AES256_CBC, word.toCharArray())
            .setProvider("BC").setPasswordConversionScheme(PasswordRecipient.PKCS5_SCHEME2_UTF8)
            .setPRF(PasswordRecipient.PRF.HMacSHA256).setSaltAndIterationCount("saltsaltsaltsalt".getBytes(), rounds);
    }

    static RecipientInfoGenerator shared(byte[] key) throws Exception {
        return new JceKEKRecipientInfoGenerator(new byte[] {1, 2, 3, 4, 5}, new SecretKeySpec(key, "AES"))
            .setProvider("BC");
    }

    static KeyPair pair(String algorithm, int bits, String curve) throws Exception {
        KeyPairGenerator g = KeyPairGenerator.getInstance(algorithm, "BC");
        if (curve != null) g.initialize(new ECGenParameterSpec(curve), new SecureRandom());
        else g.initialize(bits, new SecureRandom());
        return g.generateKeyPair();
    }

    public static void main(String[] args) throws Exception {
        Security.addProvider(new BouncyCastleProvider());
        dir = args[0];
        clear = Files.readAllBytes(Paths.get(dir, "clear.txt"));
        rsa = certificate("rsa.pem"); small = certificate("rsa1024.pem"); ec = certificate("ec.pem");
        write("bc-aes256-cbc", enveloped(CMSAlgorithm.AES256_CBC, transport(rsa)));
        write("bc-aes128-gcm", authenticated(CMSAlgorithm.AES128_GCM, oaep(rsa)));
        write("bc-aes256-ccm", authenticated(CMSAlgorithm.AES256_CCM, oaep(rsa)));
        write("bc-key-id", enveloped(CMSAlgorithm.AES192_CBC, byKeyId(rsa)));
        write("bc-camellia", enveloped(CMSAlgorithm.CAMELLIA256_CBC, oaep(rsa)));
        write("bc-3des", enveloped(CMSAlgorithm.DES_EDE3_CBC, transport(rsa)));
        write("bc-rc2", enveloped(CMSAlgorithm.RC2_CBC, transport(rsa)));
        write("bc-cast5", enveloped(CMSAlgorithm.CAST5_CBC, transport(rsa)));
        write("bc-idea", enveloped(CMSAlgorithm.IDEA_CBC, transport(rsa)));
        write("bc-seed", enveloped(CMSAlgorithm.SEED_CBC, transport(rsa)));
        write("bc-gost", enveloped(CMSAlgorithm.GOST28147_GCFB, transport(rsa)));
        write("bc-rsa1024", enveloped(CMSAlgorithm.AES256_CBC, transport(small)));
        write("bc-strong-and-1024", enveloped(CMSAlgorithm.AES256_CBC, transport(rsa), transport(small)));
        write("bc-password", enveloped(CMSAlgorithm.AES256_CBC, password("Heron-41-tarn", 10000)));
        write("bc-password-gcm", authenticated(CMSAlgorithm.AES256_GCM, password("Heron-41-tarn", 10000)));
        write("bc-password-one-round", enveloped(CMSAlgorithm.AES256_CBC, password("Heron-41-tarn", 1)));
        write("bc-shared-key", enveloped(CMSAlgorithm.AES256_CBC, shared(new byte[32])));
        write("bc-key-and-password",
            enveloped(CMSAlgorithm.AES256_CBC, transport(rsa), password("Heron-41-tarn", 10000)));
        KeyPair a = pair("EC", 0, "P-384"), b = pair("EC", 0, "P-384");
        write("bc-ecdh-p384", enveloped(CMSAlgorithm.AES256_CBC,
            agreement("EC", a.getPublic(), b, CMSAlgorithm.ECDH_SHA384KDF, new byte[] {9, 8, 7})));
        a = pair("EC", 0, "P-192"); b = pair("EC", 0, "P-192");
        write("bc-ecdh-p192", enveloped(CMSAlgorithm.AES256_CBC,
            agreement("EC", a.getPublic(), b, CMSAlgorithm.ECDH_SHA256KDF, new byte[] {9, 8, 7})));
        CMSCompressedDataGenerator z = new CMSCompressedDataGenerator();
        write("bc-compressed", z.generate(new CMSProcessableByteArray(clear),
            new org.bouncycastle.cms.jcajce.ZlibCompressor()).getEncoded());
        byte[] inner = enveloped(CMSAlgorithm.AES256_CBC, oaep(rsa));
        byte[] content = ContentInfo.getInstance(inner).getContent().toASN1Primitive().getEncoded("DER");
        write("bc-compressed-around", z.generate(
            new CMSProcessableByteArray(new ASN1ObjectIdentifier("1.2.840.113549.1.7.3"), content),
            new org.bouncycastle.cms.jcajce.ZlibCompressor()).getEncoded());
        ContentSigner signer = new JcaContentSignerBuilder("SHA256withRSA").setProvider("BC").build(key("rsa.key"));
        CMSSignedDataGenerator s = new CMSSignedDataGenerator();
        s.addSignerInfoGenerator(new JcaSignerInfoGeneratorBuilder(
            new JcaDigestCalculatorProviderBuilder().setProvider("BC").build()).build(signer, rsa));
        s.addCertificate(new JcaX509CertificateHolder(rsa));
        write("bc-signed", s.generate(new CMSProcessableByteArray(clear), true).getEncoded());
        write("bc-signed-around", s.generate(new CMSProcessableByteArray(
            new ASN1ObjectIdentifier("1.2.840.113549.1.7.3"), content), true).getEncoded());
        write("bc-detached", s.generate(new CMSProcessableByteArray(clear), false).getEncoded());
        ByteArrayOutputStream out = new ByteArrayOutputStream();
        CMSEnvelopedDataStreamGenerator st = new CMSEnvelopedDataStreamGenerator();
        st.setBufferSize(16);
        st.addRecipientInfoGenerator(transport(rsa));
        OutputStream o = st.open(out, cipher(CMSAlgorithm.AES256_CBC));
        o.write(clear); o.close();
        write("bc-streamed", out.toByteArray());
        CMSEnvelopedDataGenerator u = new CMSEnvelopedDataGenerator();
        ASN1EncodableVector v = new ASN1EncodableVector();
        v.add(new Attribute(new ASN1ObjectIdentifier("1.2.840.113549.1.9.16.2.4"), new DERSet(new DERSequence(
            new ASN1Encodable[] {new DERUTF8String("Report on the family in Mill Lane"),
            new ASN1ObjectIdentifier("1.2.840.113549.1.7.1")}))));
        u.setUnprotectedAttributeGenerator(new SimpleAttributeTableGenerator(new AttributeTable(v)));
        u.addRecipientInfoGenerator(oaep(rsa));
        write("bc-clear-attribute", u.generate(new CMSProcessableByteArray(clear),
            cipher(CMSAlgorithm.AES256_CBC)).getEncoded());
    }

    static PrivateKey key(String name) throws Exception {
        String pem = new String(Files.readAllBytes(Paths.get(dir, name)));
        byte[] der = java.util.Base64.getMimeDecoder().decode(pem.replaceAll("-----[A-Z ]+-----", ""));
        return KeyFactory.getInstance("RSA").generatePrivate(new PKCS8EncodedKeySpec(der));
    }
}
"""

JAVASCRIPT = r"""
const fs = require("fs"), path = require("path");
const forge = require("node-forge"), asn1js = require("asn1js"), pkijs = require("pkijs");
const { webcrypto } = require("crypto");
const dir = process.argv[2];
const clear = fs.readFileSync(path.join(dir, "clear.txt"));
const write = (name, data) => fs.writeFileSync(path.join(dir, name), data);
pkijs.setEngine("node", new pkijs.CryptoEngine({ crypto: webcrypto, subtle: webcrypto.subtle, name: "node" }));

function forged(certificate, oid) {
  const message = forge.pkcs7.createEnvelopedData();
  message.addRecipient(forge.pki.certificateFromPem(fs.readFileSync(path.join(dir, certificate), "latin1")));
  message.content = forge.util.createBuffer(clear.toString("binary"));
  message.encrypt(undefined, oid);
  return Buffer.from(forge.asn1.toDer(message.toAsn1()).getBytes(), "binary");
}
write("forge-aes256-cbc", forged("rsa.pem", forge.pki.oids["aes256-CBC"]));
write("forge-3des", forged("rsa.pem", forge.pki.oids["des-EDE3-CBC"]));
write("forge-rsa1024", forged("rsa1024.pem", forge.pki.oids["aes128-CBC"]));
const signed = forge.pkcs7.createSignedData();
signed.content = forge.util.createBuffer(clear.toString("binary"));
const own = forge.pki.certificateFromPem(fs.readFileSync(path.join(dir, "rsa.pem"), "latin1"));
signed.addCertificate(own);
signed.addSigner({ key: forge.pki.privateKeyFromPem(fs.readFileSync(path.join(dir, "rsa.key"), "latin1")),
  certificate: own, digestAlgorithm: forge.pki.oids.sha256 });
signed.sign();
write("forge-signed", Buffer.from(forge.asn1.toDer(signed.toAsn1()).getBytes(), "binary"));

async function enveloped(name, algorithm, add) {
  const message = new pkijs.EnvelopedData();
  add(message);
  await message.encrypt(algorithm, new Uint8Array(clear).buffer);
  const info = new pkijs.ContentInfo({ contentType: "1.2.840.113549.1.7.3", content: message.toSchema() });
  write(name, Buffer.from(info.toSchema().toBER(false)));
}
const load = (name) => {
  const pem = fs.readFileSync(path.join(dir, name), "latin1").replace(/-----[A-Z ]+-----|\s/g, "");
  return pkijs.Certificate.fromBER(new Uint8Array(Buffer.from(pem, "base64")).buffer);
};
const word = new TextEncoder().encode("Heron-41-tarn").buffer;
(async () => {
  await enveloped("pkijs-aes256-cbc", { name: "AES-CBC", length: 256 },
    (m) => m.addRecipientByCertificate(load("rsa.pem"), { oaepHashAlgorithm: "SHA-256" }));
  await enveloped("pkijs-aes256-gcm", { name: "AES-GCM", length: 256 },
    (m) => m.addRecipientByCertificate(load("rsa.pem"), { oaepHashAlgorithm: "SHA-256" }));
  await enveloped("pkijs-ecdh", { name: "AES-CBC", length: 256 },
    (m) => m.addRecipientByCertificate(load("ec.pem"), { kdfAlgorithm: "SHA-256" }));
  await enveloped("pkijs-password", { name: "AES-CBC", length: 256 },
    (m) => m.addRecipientByPreDefinedData(word, { hmacHashAlgorithm: "SHA-256", iterationCount: 5000,
      kekEncryptionLength: 256, keyEncryptionAlgorithm: { name: "AES-KW", length: 256 } }, 2));
})().catch((error) => { console.error(error); process.exit(1); });
"""
