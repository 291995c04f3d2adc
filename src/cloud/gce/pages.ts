/** Pages of Google's console on which a person mends what a program cannot. */

export function quotaPage(project: string, metric?: string): string {
  const base = `https://console.cloud.google.com/iam-admin/quotas?project=${project}&service=compute.googleapis.com`;
  return metric ? `${base}&metric=compute.googleapis.com%2F${metric.toLowerCase()}` : base;
}

export const enablePage = (project: string, service: string): string =>
  `https://console.cloud.google.com/apis/library/${service}?project=${project}`;

export const billingPage = (project: string): string =>
  `https://console.cloud.google.com/billing/linkedaccount?project=${project}`;
