/** Refusals in Google's words. */

/** Thrown by a method; becomes the answer. */
export class GoogleError extends Error {
  constructor(
    readonly code: number,
    readonly reason: string,
    message: string,
    readonly details: Record<string, unknown>[] = [],
  ) {
    super(message);
  }

  body(): unknown {
    const { code, message, reason, details } = this;
    const status = STATUS[code];
    return {
      error: {
        code,
        message,
        errors: [{ message, domain: 'global', reason }],
        ...(status && { status }),
        ...(details.length > 0 && { details }),
      },
    };
  }
}

const STATUS: Record<number, string> = {
  400: 'INVALID_ARGUMENT',
  401: 'UNAUTHENTICATED',
  403: 'PERMISSION_DENIED',
  404: 'NOT_FOUND',
  409: 'ALREADY_EXISTS',
  429: 'RESOURCE_EXHAUSTED',
  503: 'UNAVAILABLE',
};

export const invalid = (message: string) => new GoogleError(400, 'invalid', message);
export const notFound = (resource: string) =>
  new GoogleError(404, 'notFound', `The resource '${resource}' was not found`);
export const info = (reason: string, domain: string, metadata: Record<string, string>) => ({
  '@type': 'type.googleapis.com/google.rpc.ErrorInfo',
  reason,
  domain,
  metadata,
});

/** An operation's own error: it was accepted, and came to nothing. */
export interface OperationError {
  code: string;
  message: string;
  errorDetails?: unknown[];
}

export function outOfStock(project: string, zone: string, machineType: string, withDetails: boolean): OperationError {
  return {
    code: withDetails ? 'ZONE_RESOURCE_POOL_EXHAUSTED_WITH_DETAILS' : 'ZONE_RESOURCE_POOL_EXHAUSTED',
    message: `The zone 'projects/${project}/zones/${zone}' does not have enough resources available to fulfill the request${
      withDetails ? `. '(resource type:compute)'` : ', try a different zone, or try again later.'
    }`,
    errorDetails: [
      {
        errorInfo: {
          reason: 'resource_availability',
          domain: 'compute.googleapis.com',
          metadatas: { zone, vmType: machineType },
        },
      },
    ],
  };
}

export function overQuota(metric: string, limit: number, region: string): OperationError {
  return {
    code: 'QUOTA_EXCEEDED',
    message: `Quota '${metric}' exceeded.  Limit: ${limit.toFixed(1)} ${region === 'global' ? 'globally' : `in region ${region}`}.`,
    errorDetails: [
      {
        quotaInfo: {
          metricName: `compute.googleapis.com/${metric.toLowerCase()}`,
          limitName: metric,
          limit,
          dimensions: { region },
        },
      },
    ],
  };
}
