"""SSH keys for tests, made with ssh-keygen, with what openssl says of them."""

from __future__ import annotations

RSA_DATA = (
    "AAAAB3NzaC1yc2EAAAADAQABAAABAQDFwCni6OHfmSnJBMHDmlbcoJWtfPDzpV8rLZOnX/XEYeuK8KTdBOQia72l"
    "F96EXC4jDVUuGKEKlz+tWsRNfARTehe498o6wsmJKTCtkkktepspYoIC/2mR28Rfy9qi3TJgpl2obM00tS5XMuXy"
    "aKKadlXnfQV+dbnFH0xmSFb40KNDlflPLtNaPiGjEp5iDg/nzTnzRhoZpP6Mi4R6qEYxtddheAT77Mn95cjXOJ9g"
    "aR5KZj8s4A+5BEDLBACGCPDlQXBOZFbRW6XCTokAUQp8UXanZ50OBISvh8DN4PVNE78ynyCTqr2RimG8DLPBlQtG"
    "ePxYrbxwZ6Uu4XStfkJJ"
)

PUBLIC_KEY = f"ssh-rsa {RSA_DATA} me@example"

FINGERPRINT = "2e:c9:46:2e:b4:4a:dd:d2:cb:be:73:b9:97:fb:4a:96"
"""`ssh-keygen -f key.pub -e -m pkcs8 | openssl pkey -pubin -outform DER | openssl md5 -c`."""

ED25519_KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAID/9uplv0v8n/bA/N9TX7RmLaU7ppYxKdaY1d4IFdMI1 me"
