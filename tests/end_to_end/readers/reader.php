<?php
// What PHP reads of a request: its query, and its Basic credential in hexadecimal digits.
header('Content-Type: application/json');
$hex = fn($name) => isset($_SERVER[$name]) ? bin2hex($_SERVER[$name]) : null;
$read = ['query' => $_GET, 'user' => $hex('PHP_AUTH_USER'), 'password' => $hex('PHP_AUTH_PW')];
echo json_encode($read, JSON_INVALID_UTF8_SUBSTITUTE);
