// Writes encrypted Office documents with Apache POI: standard encryption, and CryptoAPI RC4 in workbooks,
// presentations and documents. (Debian's package lacks the schemas that agile encryption needs.) Run by make_office.py: java -cp ... MakeOffice.java DIRECTORY
// The directory holds plain.docx and plain.doc; what is written stands beside them.

import java.io.FileInputStream;
import java.io.FileOutputStream;
import java.io.InputStream;
import java.io.OutputStream;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.MessageDigest;
import java.security.SecureRandom;
import javax.crypto.Cipher;
import javax.crypto.spec.SecretKeySpec;
import org.apache.poi.hslf.usermodel.HSLFSlideShow;
import org.apache.poi.hslf.usermodel.HSLFTextBox;
import org.apache.poi.hssf.record.crypto.Biff8EncryptionKey;
import org.apache.poi.hssf.usermodel.HSSFWorkbook;
import org.apache.poi.hwpf.HWPFDocument;
import org.apache.poi.poifs.crypt.ChainingMode;
import org.apache.poi.poifs.crypt.CipherAlgorithm;
import org.apache.poi.poifs.crypt.EncryptionInfo;
import org.apache.poi.poifs.crypt.EncryptionMode;
import org.apache.poi.poifs.crypt.Encryptor;
import org.apache.poi.poifs.crypt.HashAlgorithm;
import org.apache.poi.poifs.filesystem.DirectoryEntry;
import org.apache.poi.poifs.filesystem.POIFSFileSystem;

public class MakeOffice {
    private static final String PASSWORD = "Correct-Horse-7";
    private static Path at;

    public static void main(String[] arguments) throws Exception {
        at = Path.of(arguments[0]);
        byte[] docx = Files.readAllBytes(at.resolve("plain.docx"));
        standard("standard-128", docx, CipherAlgorithm.aes128, PASSWORD);
        standard("standard-256", docx, CipherAlgorithm.aes256, PASSWORD);
        standard("standard-default", docx, CipherAlgorithm.aes128, "/01Hannes Ruescher/01");
        rc4Package("rc4-package", docx);
        rights("rights-managed", docx);
        workbook("xls-cryptoapi", PASSWORD);
        workbook("xls-default", "VelvetSweatshop");
        workbook("xls-plain", null);
        presentation("ppt-cryptoapi", PASSWORD);
        presentation("ppt-plain", null);
        document("doc-cryptoapi", PASSWORD);
    }

    private static void save(String name, POIFSFileSystem system) throws Exception {
        try (OutputStream out = new FileOutputStream(at.resolve(name).toFile())) {
            system.writeFilesystem(out);
        }
    }

    private static void standard(String name, byte[] content, CipherAlgorithm cipher, String password)
            throws Exception {
        encrypt(name, content, new EncryptionInfo(EncryptionMode.standard, cipher, HashAlgorithm.sha1, -1, -1,
                ChainingMode.ecb), password);
    }

    private static void encrypt(String name, byte[] content, EncryptionInfo info, String password)
            throws Exception {
        Encryptor encryptor = info.getEncryptor();
        encryptor.confirmPassword(password);
        try (POIFSFileSystem system = new POIFSFileSystem()) {
            try (OutputStream out = encryptor.getDataStream(system)) {
                out.write(content);
            }
            save(name, system);
        }
    }

    // POI writes RC4 in no OOXML document; this follows MS-OFFCRYPTO 2.3.4.5 and 2.3.5.2 with Java's RC4.
    private static void rc4Package(String name, byte[] content) throws Exception {
        byte[] salt = new byte[16];
        byte[] verifier = new byte[16];
        new SecureRandom().nextBytes(salt);
        new SecureRandom().nextBytes(verifier);
        MessageDigest sha1 = MessageDigest.getInstance("SHA-1");
        sha1.update(salt);
        byte[] first = sha1.digest(PASSWORD.getBytes(StandardCharsets.UTF_16LE));
        sha1.update(first);
        byte[] key = java.util.Arrays.copyOf(sha1.digest(new byte[4]), 16);
        Cipher rc4 = Cipher.getInstance("RC4");
        rc4.init(Cipher.ENCRYPT_MODE, new SecretKeySpec(key, "RC4"));
        byte[] hidden = rc4.update(verifier);
        byte[] digest = rc4.update(sha1.digest(verifier));
        byte[] provider = "Microsoft Enhanced Cryptographic Provider v1.0\0".getBytes(StandardCharsets.UTF_16LE);
        ByteBuffer info = ByteBuffer.allocate(12 + 32 + provider.length + 60).order(ByteOrder.LITTLE_ENDIAN);
        info.putShort((short) 4).putShort((short) 2).putInt(4).putInt(32 + provider.length);
        info.putInt(4).putInt(0).putInt(0x6801).putInt(0x8004).putInt(128).putInt(1).putInt(0).putInt(0).put(provider);
        info.putInt(16).put(salt).put(hidden).putInt(20).put(digest);
        rc4.init(Cipher.ENCRYPT_MODE, new SecretKeySpec(key, "RC4"));
        ByteBuffer data = ByteBuffer.allocate(8 + content.length).order(ByteOrder.LITTLE_ENDIAN);
        data.putLong(content.length).put(rc4.update(content));
        try (POIFSFileSystem system = new POIFSFileSystem()) {
            system.createDocument(new java.io.ByteArrayInputStream(info.array()), "EncryptionInfo");
            system.createDocument(new java.io.ByteArrayInputStream(data.array()), "EncryptedPackage");
            save(name, system);
        }
    }

    // The layout of a document under rights management (MS-OFFCRYPTO 2.2); the licence is a stand-in.
    private static void rights(String name, byte[] content) throws Exception {
        byte[] sealed = new byte[8 + (content.length + 15) / 16 * 16];
        new SecureRandom().nextBytes(sealed);
        ByteBuffer.wrap(sealed).order(ByteOrder.LITTLE_ENDIAN).putLong(0, content.length);
        try (POIFSFileSystem system = new POIFSFileSystem()) {
            DirectoryEntry spaces = system.createDirectory("\u0006DataSpaces");
            DirectoryEntry transform = spaces.createDirectory("TransformInfo").createDirectory("DRMEncryptedTransform");
            byte[] licence = "<?xml version=\"1.0\"?><XrML/>".getBytes(StandardCharsets.UTF_16LE);
            transform.createDocument("\u0006Primary", new java.io.ByteArrayInputStream(licence));
            system.createDocument(new java.io.ByteArrayInputStream(sealed), "EncryptedPackage");
            save(name, system);
        }
    }

    private static void workbook(String name, String password) throws Exception {
        Biff8EncryptionKey.setCurrentUserPassword(password);
        try (HSSFWorkbook book = new HSSFWorkbook(); OutputStream out = new FileOutputStream(at.resolve(name).toFile())) {
            for (int row = 0; row < 40; row++) {
                (row == 0 ? book.createSheet("Sheet1") : book.getSheetAt(0)).createRow(row).createCell(0)
                        .setCellValue("Row " + row + " of an exercise");
            }
            book.write(out);
        } finally {
            Biff8EncryptionKey.setCurrentUserPassword(null);
        }
    }

    private static void presentation(String name, String password) throws Exception {
        Biff8EncryptionKey.setCurrentUserPassword(password);
        try (HSLFSlideShow show = new HSLFSlideShow(); OutputStream out = new FileOutputStream(at.resolve(name).toFile())) {
            HSLFTextBox box = new HSLFTextBox();
            box.setText("An exercise in presenting nothing at all");
            box.setAnchor(new java.awt.Rectangle(50, 50, 300, 100));
            show.createSlide().addShape(box);
            show.write(out);
        } finally {
            Biff8EncryptionKey.setCurrentUserPassword(null);
        }
    }

    private static void document(String name, String password) throws Exception {
        try (InputStream in = new FileInputStream(at.resolve("plain.doc").toFile());
                HWPFDocument document = new HWPFDocument(in);
                OutputStream out = new FileOutputStream(at.resolve(name).toFile())) {
            Biff8EncryptionKey.setCurrentUserPassword(password);
            document.write(out);
        } finally {
            Biff8EncryptionKey.setCurrentUserPassword(null);
        }
    }
}
