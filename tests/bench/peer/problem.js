// Everything that is not success, as application/problem+json.
const TITLES = {
  401: 'Unauthorized',
  404: 'Not Found',
  405: 'Method Not Allowed',
  500: 'Internal Server Error',
  501: 'Not Implemented',
  503: 'Service Unavailable',
};

export class Problem extends Error {
  constructor(status, code, detail, { errors, allow } = {}) {
    super(detail);
    Object.assign(this, { status, code, detail, errors, allow });
  }

  respond(c) {
    const { status, code, detail, errors, allow } = this;
    const title = TITLES[status] ?? 'Error';
    const body = { type: 'about:blank', title, status, code, detail, request_id: c.get('requestId'), errors };
    if (status === 401) c.header('www-authenticate', 'Bearer realm="mayfly"');
    if (allow) c.header('allow', allow);
    return c.json(body, status, { 'content-type': 'application/problem+json' });
  }
}
