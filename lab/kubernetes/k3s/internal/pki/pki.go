// Package pki makes the cluster's keys and certificates. What is on the disk and still good is kept.
package pki

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"time"
)

const (
	caYears = 10
	// A certificate lives for a year, and is renewed at a start in its last 120 days.
	certificateDays = 365
	renewDays       = 120
)

// CA signs certificates.
type CA struct {
	Cert *x509.Certificate
	PEM  []byte
	key  crypto.Signer
}

// Subject is what a certificate says of its holder.
type Subject struct {
	Name   string
	Groups []string
	// Hosts are names and addresses; with any, the certificate is good for serving as well.
	Hosts []string
}

// EnsureCA reads `<path>.crt` and `<path>.key`, and makes them when they are not there.
func EnsureCA(path, name string) (*CA, error) {
	if _, err := os.Stat(path + ".crt"); errors.Is(err, fs.ErrNotExist) {
		key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			return nil, err
		}
		now := time.Now()
		template := &x509.Certificate{
			SerialNumber:          serial(),
			Subject:               pkix.Name{CommonName: fmt.Sprintf("%s@%d", name, now.Unix())},
			NotBefore:             now.Add(-time.Minute),
			NotAfter:              now.AddDate(caYears, 0, 0),
			KeyUsage:              x509.KeyUsageDigitalSignature | x509.KeyUsageKeyEncipherment | x509.KeyUsageCertSign,
			BasicConstraintsValid: true,
			IsCA:                  true,
		}
		der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
		if err != nil {
			return nil, err
		}
		if err := writePair(path, encodeCertificate(der), key); err != nil {
			return nil, err
		}
	}
	return ReadCA(path)
}

// ReadCA reads `<path>.crt` and `<path>.key`.
func ReadCA(path string) (*CA, error) {
	text, err := os.ReadFile(path + ".crt")
	if err != nil {
		return nil, err
	}
	certificate, err := parseCertificate(text)
	if err != nil {
		return nil, fmt.Errorf("%s.crt: %w", path, err)
	}
	key, err := readKey(path + ".key")
	if err != nil {
		return nil, err
	}
	return &CA{certificate, text, key}, nil
}

// Ensure reads `<path>.crt` and `<path>.key`, and makes them when they are absent, of another CA or subject, or old.
func (ca *CA) Ensure(path string, subject Subject) error {
	if ca.keeps(path, subject) {
		return nil
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	certificate, err := ca.sign(key.Public(), subject)
	if err != nil {
		return err
	}
	return writePair(path, certificate, key)
}

func (ca *CA) keeps(path string, subject Subject) bool {
	text, err := os.ReadFile(path + ".crt")
	if err != nil {
		return false
	}
	certificate, err := parseCertificate(text)
	if err != nil || certificate.CheckSignatureFrom(ca.Cert) != nil || certificate.Subject.CommonName != subject.Name {
		return false
	}
	for _, host := range subject.Hosts {
		if certificate.VerifyHostname(host) != nil {
			return false
		}
	}
	_, err = readKey(path + ".key")
	return err == nil && time.Now().AddDate(0, 0, renewDays).Before(certificate.NotAfter)
}

// Sign answers a request (PEM) with a certificate for that key; the subject is the signer's word, not the request's.
func (ca *CA) Sign(request []byte, subject Subject) ([]byte, error) {
	block, _ := pem.Decode(request)
	if block == nil {
		return nil, errors.New("not a certificate request in PEM")
	}
	parsed, err := x509.ParseCertificateRequest(block.Bytes)
	if err != nil {
		return nil, err
	}
	if err := parsed.CheckSignature(); err != nil {
		return nil, err
	}
	return ca.sign(parsed.PublicKey, subject)
}

func (ca *CA) sign(key crypto.PublicKey, subject Subject) ([]byte, error) {
	now := time.Now()
	template := &x509.Certificate{
		SerialNumber: serial(),
		Subject:      pkix.Name{CommonName: subject.Name, Organization: subject.Groups},
		NotBefore:    now.Add(-time.Minute),
		NotAfter:     now.AddDate(0, 0, certificateDays),
		KeyUsage:     x509.KeyUsageDigitalSignature | x509.KeyUsageKeyEncipherment,
		ExtKeyUsage:  []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	}
	for _, host := range subject.Hosts {
		if address := net.ParseIP(host); address != nil {
			template.IPAddresses = append(template.IPAddresses, address)
		} else {
			template.DNSNames = append(template.DNSNames, host)
		}
	}
	if len(subject.Hosts) > 0 {
		template.ExtKeyUsage = append(template.ExtKeyUsage, x509.ExtKeyUsageServerAuth)
	}
	der, err := x509.CreateCertificate(rand.Reader, template, ca.Cert, key, ca.key)
	if err != nil {
		return nil, err
	}
	return append(encodeCertificate(der), ca.PEM...), nil
}

// EnsureRequest makes `<path>.key` when it is absent and returns a request for a certificate of it.
func EnsureRequest(path string) ([]byte, error) {
	key, err := readKey(path + ".key")
	if err != nil {
		generated, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			return nil, err
		}
		key = generated
		if err := writeKey(path+".key", key); err != nil {
			return nil, err
		}
	}
	der, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{}, key)
	if err != nil {
		return nil, err
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE REQUEST", Bytes: der}), nil
}

// EnsureServiceKey makes the key that signs the tokens of service accounts, when it is absent.
func EnsureServiceKey(path string) error {
	if _, err := readKey(path); err == nil {
		return nil
	}
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		return err
	}
	return writeKey(path, key)
}

// Write puts a file in place whole, readable by root alone.
func Write(path string, content []byte) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return err
	}
	aside := path + ".new"
	if err := os.WriteFile(aside, content, 0o600); err != nil {
		return err
	}
	return os.Rename(aside, path)
}

func writePair(path string, certificate []byte, key crypto.Signer) error {
	if err := writeKey(path+".key", key); err != nil {
		return err
	}
	return Write(path+".crt", certificate)
}

func writeKey(path string, key crypto.Signer) error {
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return err
	}
	return Write(path, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}))
}

func readKey(path string) (crypto.Signer, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	block, _ := pem.Decode(text)
	if block == nil {
		return nil, fmt.Errorf("%s: no key in PEM", path)
	}
	key, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	signer, ok := key.(crypto.Signer)
	if !ok {
		return nil, fmt.Errorf("%s: not a key that signs", path)
	}
	return signer, nil
}

func parseCertificate(text []byte) (*x509.Certificate, error) {
	block, _ := pem.Decode(text)
	if block == nil {
		return nil, errors.New("no certificate in PEM")
	}
	return x509.ParseCertificate(block.Bytes)
}

func encodeCertificate(der []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
}

func serial() *big.Int {
	number, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 120))
	if err != nil {
		panic(err)
	}
	return number
}
